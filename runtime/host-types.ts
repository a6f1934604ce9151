/**
 * The host's types that the runtime's declarations name. Programs for Node have no `WebAssembly` in their type libraries, and some have no host's
 * types at all: where one is missing, this stands in for it, and where it is there it adds nothing. So declarations type check in every program.
 */
declare global {
  interface AbortSignal {}
  interface Blob {}
  interface ReadableStream<R = any> {}
  interface Response {}
  interface URL {}
  namespace WebAssembly {
    interface Module {}
  }
}

export {};
