#pragma once

#define HEADRACE_VERSION "0.1.0"
