// One call by an official client; prints what came of it as one JSON line.
//   node calls.mjs CLIENT CALL BASE_URL TOKEN
import OpenAI, { toFile } from "openai";
import { InferenceClient } from "@huggingface/inference";

const [client, call, base, token] = process.argv.slice(2);
const messages = [{ role: "user", content: "Hello" }];
const now = () => Number(process.hrtime.bigint()) / 1e6; // the same clock as the engine's log
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const audio = new Blob([new Uint8Array(20000)], { type: "audio/wav" });

/** Aborts when a line comes on standard input, and says when. */
function abortOnInput() {
  const controller = new AbortController();
  process.stdin.once("data", () => {
    say({ aborted: now() });
    controller.abort();
  });
  return controller.signal;
}

const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: token, maxRetries: 0 });
const hf = new InferenceClient(token);
const patient = { headers: { "X-Scale-Up-Timeout": "60" } };

async function collect(stream) {
  let chunks = 0, text = "";
  for await (const chunk of stream) {
    chunks++;
    text += chunk.choices?.[0]?.delta?.content ?? "";
    if (chunks === 2) say({ streaming: true });
  }
  return { chunks, text };
}

const calls = {
  openai: {
    chat: async () => (await openai.chat.completions.create({ model: "m", messages }, patient)).choices[0].message,
    stream: async () => collect(await openai.chat.completions.create({ model: "m", messages, stream: true }, patient)),
    embeddings: async () => (await openai.embeddings.create({ model: "m", input: ["a", "b"] }, patient)).data.length,
    audio: async () => openai.audio.transcriptions.create({ model: "m", file: await toFile(audio, "a.wav") }, patient),
    abortStream: async () =>
      collect(await openai.chat.completions.create({ model: "m", messages, stream: true }, { signal: abortOnInput() })),
    abortHead: async () =>
      openai.chat.completions.create({ model: "m", messages }, { signal: abortOnInput(), headers: { "x-engine-fault": "never" } }),
    error: async () => openai.chat.completions.create({ model: "m", messages }),
  },
  huggingface: {
    chat: async () => (await hf.chatCompletion({ endpointUrl: `${base}/v1/chat/completions`, model: "m", messages })).choices[0].message,
    stream: async () => collect(hf.chatCompletionStream({ endpointUrl: `${base}/v1/chat/completions`, model: "m", messages })),
    embeddings: async () => (await hf.featureExtraction({ endpointUrl: `${base}/embed`, inputs: "a" }))[0].length,
    audio: async () => hf.automaticSpeechRecognition({ endpointUrl: base, data: audio }),
    abortStream: async () =>
      collect(hf.chatCompletionStream({ endpointUrl: `${base}/v1/chat/completions`, model: "m", messages }, { signal: abortOnInput() })),
    abortHead: async () =>
      hf.chatCompletion({ endpointUrl: `${base}/v1/chat/completions`, model: "m", messages }, {
        signal: abortOnInput(),
        fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, "x-engine-fault": "never" } }),
      }),
  },
};

try {
  say({ result: await calls[client][call]() });
} catch (error) {
  say({ error: error.name, message: error.message, status: error.status, code: error.code, type: error.type });
}
process.exit(0);
