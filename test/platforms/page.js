/**
 * The script of a page: runs the cases in its address, after the #, and shows the outcomes, or what went wrong. The artefact lies beside
 * it.
 */
import { runCases } from "./run.js";

const output = document.createElement("output");
try {
  const { entry, cases } = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  const { load } = await import(new URL(entry, new URL("artefact/", location.href)).href);
  output.textContent = JSON.stringify(await runCases(load, cases));
} catch (error) {
  output.textContent = JSON.stringify(String(error));
}
document.body.append(output);
