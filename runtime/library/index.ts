/**
 * The runtime of C artefacts: the public surface of the core, with a `load` that calls a built library. The root of the bundle that such artefacts
 * carry as `runtime.js`.
 */
export * from "../index.ts";
export { load } from "./load-library.ts";
