/* `headrace bench`: a load client for OpenAI-style traffic. */
#pragma once

/* argv without the words "headrace bench". Returns the exit code: 0; 1 when it could not run or
 * report; 2 for a usage error. That requests failed is for the report to say. */
int bench_command(int argc, char **argv);
