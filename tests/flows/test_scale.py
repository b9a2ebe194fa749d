"""Up under load and down again, cutting nothing."""
import threading

from harness import STREAM, eventually, process_endpoint

FAST = {"max_replicas": 2, "scale_up_window_s": 2, "scale_down_window_s": 4, "scale_to_zero_s": 60}


def test_steady_load_adds_a_replica_and_its_end_removes_it_without_cutting(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 200, "--tokens", 10, log_directory=start.directory, scaling=FAST)})
    stop = threading.Event()
    statuses, by = [], set()

    def keep_pending():
        link = h.http2()
        while not stop.is_set():
            statuses.append(link.call(x_engine_fault="slow-head=300", X_Scale_Up_Timeout="60").status)
        link.close()
    threads = [threading.Thread(target=keep_pending) for _ in range(3)]
    for t in threads:
        t.start()
    eventually(lambda: sum(r["state"] == "ready" for r in h.status("ep")["replicas"]) == 2)
    count = len(h.log())
    eventually(lambda: len({line["replica"] for line in h.log()[count:] if line["replica"]}) == 2)
    stop.set()
    for t in threads:
        t.join()
    assert set(statuses) == {200}
    slow = h.http2()
    streams = [slow.ask(x_engine_fault="slow-body=500", body=STREAM) for _ in range(2)]
    eventually(lambda: any(r["state"] == "draining" for r in h.status("ep")["replicas"]) or len(h.status("ep")["replicas"]) == 1)
    for s in streams:
        answer = slow.wait(s)
        assert answer.status == 200 and answer.body.rstrip().endswith(b"[DONE]")
    eventually(lambda: len(h.status("ep")["replicas"]) == 1)
    assert h.call().status == 200
    words = h.command("explain", "ep").stdout
    assert "1 -> 2  mean pending" in words and "2 -> 1  mean pending" in words
