/**
 * `command.js ENTRY CASES`: runs cases under Node, Deno or Bun and prints the outcomes, or what went wrong. ENTRY is the URL of an
 * artefact's entry file.
 */
import process from "node:process";
import { runCases } from "./run.js";

const [entry, cases] = process.argv.slice(2);
try {
  const { load } = await import(entry);
  console.log(JSON.stringify(await runCases(load, JSON.parse(cases))));
} catch (error) {
  console.log(JSON.stringify(String(error)));
}
