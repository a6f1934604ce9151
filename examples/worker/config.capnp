# The worker under workerd, without a bundler: `workerd serve config.capnp` in this folder, with the artefact in model/.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    # Where the weights come from. On Cloudflare it is the binding of static assets, or of a bucket.
    (name = "assets", disk = (path = "model")),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "main")],
);

const worker :Workerd.Worker = (
  compatibilityDate = "2026-11-01",
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "model/worker.js", esModule = embed "model/worker.js"),
    (name = "model/runtime.js", esModule = embed "model/runtime.js"),
    (name = "model/manifest.json", json = embed "model/manifest.json"),
    (name = "model/tokenizer.json", json = embed "model/tokenizer.json"),
    (name = "model/tokenizer_config.json", json = embed "model/tokenizer_config.json"),
    (name = "model/model.simd128.wasm", wasm = embed "model/model.simd128.wasm"),
    (name = "model/model.relaxed.wasm", wasm = embed "model/model.relaxed.wasm"),
  ],
  durableObjectNamespaces = [(className = "Model", uniqueKey = "model")],
  durableObjectStorage = (inMemory = void),
  bindings = [
    (name = "MODEL", durableObjectNamespace = "Model"),
    (name = "ASSETS", service = "assets"),
  ],
);
