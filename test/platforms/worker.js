/**
 * An edge worker: answers cases with outcomes. The artefact's files are modules of its own; where the weights are not embedded in them,
 * they come from another service.
 */
import { load } from "./artefact/worker.js";
import { runCases } from "./run.js";

export default {
  async fetch(request, { WEIGHTS }) {
    const weights = WEIGHTS && ((index, { path }) => WEIGHTS.fetch(`http://weights/${path}`));
    return Response.json(await runCases((options) => load({ weights, ...options }), await request.json()));
  },
};
