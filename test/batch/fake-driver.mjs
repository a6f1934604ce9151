#!/usr/bin/env node
/**
 * In place of Python and Ray's driver: speaks as `compiler/batch/ray/python/driver.py` does. It answers the second of two requests first, each with its own
 * tokens backwards, its seed, its end tokens and the temperature. LFMC_FAKE says what goes wrong: `fails` at once, or `dies` at the third request.
 */
import { createInterface } from "node:readline";

const fault = process.env.LFMC_FAKE;
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
let settings = null;
let asked = 0;
let held = null;

createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "") {
    if (held !== null) say(held);
    say({ ended: true });
    return;
  }
  const message = JSON.parse(line);
  if ("chunk" in message) {
    say(
      fault === "fails"
        ? { failed: { subject: "cluster", fact: "is not there", hint: "start it" } }
        : { ready: { workers: 2, threads: 1, ahead: 24 } },
    );
  } else if (settings === null) settings = message;
  else {
    if (++asked === 3 && fault === "dies") {
      process.stderr.write("out of luck\n");
      process.exitCode = 7;
      process.stdin.destroy();
      return;
    }
    const { index, tokens, maxTokens, seed, endTokens } = message;
    const answer = { index, tokens: [...tokens.toReversed(), maxTokens, seed, ...endTokens, settings.temperature], stopReason: "length" };
    if (held === null) held = answer;
    else {
      say(answer);
      say(held);
      held = null;
    }
  }
});
