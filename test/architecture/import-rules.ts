/**
 * Who may import whom. A file belongs to the first area whose path prefix it has; whatever an area's row does not list, its files may
 * not import. The same table, in words, is in compiler/README.md.
 */

import type { Import, SourceFile } from "./imports.ts";
import { importsOf } from "./imports.ts";

interface Area {
  /** The area's files: those whose path starts so. */
  readonly prefix: string;
  /** Paths (prefixes) that its files may import. */
  readonly files: readonly string[];
  /** Of those, the ones that its files may not. */
  readonly except?: readonly string[];
  /** Paths (prefixes) of which its files may import the types alone. */
  readonly types?: readonly string[];
  /** npm packages that its files may import. */
  readonly packages?: readonly string[];
  /** Where Node's own modules may be imported: statically, only by `import()` (the code also runs elsewhere), or not at all. */
  readonly builtins: "static" | "dynamic" | "none";
}

const foundations = ["compiler/errors.ts", "compiler/numeric/"];
const anything = ["compiler/", "targets/", "runtime/"];
const moduleReaders = ["wabt", "@webassemblyjs/wasm-parser"];

const wasmTarget: Area = {
  prefix: "targets/wasm/",
  // The runtime owns the section in which a module says which variant it is.
  files: ["targets/wasm/", "targets/package.ts", "targets/target.ts", "compiler/kernel/", "runtime/manifest.ts", ...foundations],
  types: ["compiler/plan/program.ts"],
  builtins: "static",
};

const cTarget: Area = {
  prefix: "targets/c/",
  files: ["targets/c/", "targets/package.ts", "targets/target.ts", "compiler/kernel/", ...foundations],
  types: ["compiler/plan/program.ts", "runtime/manifest.ts"],
  builtins: "static",
};

const nativeBuilds: Area = {
  prefix: "compiler/native/",
  // The runtime owns the names of a library's file and functions, and the way in which it is called.
  files: ["compiler/native/", "compiler/import/json.ts", "runtime/library/native-engine.ts", "runtime/library/foreign.ts", ...foundations],
  types: ["compiler/kernel/ir.ts", "runtime/"],
  builtins: "static",
};

const batch: Area = {
  prefix: "compiler/batch/",
  files: [
    "compiler/batch/",
    "compiler/artefact/interruption.ts",
    "compiler/commands/open-artefact.ts",
    "compiler/import/",
    "runtime/",
    ...foundations,
  ],
  builtins: "static",
};

const core: Area = {
  prefix: "runtime/",
  files: ["runtime/"],
  except: ["runtime/chat/", "runtime/json-schema/", "runtime/library/"],
  packages: ["@huggingface/tokenizers"],
  builtins: "dynamic",
};

/** Bundles of their own, which find the core's public surface in the bundle beside them. */
const besideCore: Omit<Area, "prefix"> = { files: ["runtime/index.ts", "runtime/json.ts"], types: ["runtime/"], builtins: "none" };

const areas: readonly Area[] = [
  { ...besideCore, prefix: "runtime/chat/", files: ["runtime/chat/", ...besideCore.files], packages: ["@huggingface/jinja"] },
  { ...besideCore, prefix: "runtime/json-schema/", files: ["runtime/json-schema/", ...besideCore.files] },
  { ...core, prefix: "runtime/library/", except: ["runtime/chat/", "runtime/json-schema/"] },
  core,
  { prefix: "compiler/errors.ts", files: [], builtins: "none" },
  { prefix: "compiler/numeric/", files: ["compiler/numeric/"], builtins: "none" },
  { prefix: "compiler/graph/", files: ["compiler/graph/", ...foundations], builtins: "none" },
  { prefix: "compiler/kernel/", files: ["compiler/kernel/", ...foundations], builtins: "none" },
  {
    prefix: "compiler/import/",
    files: ["compiler/import/", "compiler/graph/", ...foundations],
    packages: ["valibot", "@huggingface/gguf"],
    builtins: "static",
  },
  {
    prefix: "compiler/quantize/",
    files: ["compiler/quantize/", "compiler/import/", "compiler/graph/", ...foundations],
    builtins: "none",
  },
  {
    prefix: "compiler/export/",
    files: ["compiler/export/", "compiler/import/", "compiler/graph/", ...foundations],
    builtins: "none",
  },
  { prefix: "compiler/passes/", files: ["compiler/passes/", "compiler/graph/", ...foundations], builtins: "none" },
  { prefix: "compiler/plan/", files: ["compiler/plan/", "compiler/graph/", "compiler/kernel/", ...foundations], builtins: "none" },
  {
    prefix: "compiler/artefact/bindings.ts",
    files: ["runtime/manifest.ts"],
    packages: ["ts-morph"],
    builtins: "none",
  },
  { prefix: "compiler/cli.ts", files: anything, packages: ["commander", "picocolors"], builtins: "static" },
  { prefix: "compiler/commands/inspect", files: anything, packages: ["commander", "picocolors", ...moduleReaders], builtins: "static" },
  { prefix: "compiler/commands/", files: anything, packages: ["commander", "picocolors"], builtins: "static" },
  { ...batch, prefix: "compiler/batch/parquet-table.ts", packages: ["hyparquet", "hyparquet-compressors"] },
  { ...batch, prefix: "compiler/batch/output-parquet.ts", packages: ["hyparquet-writer"] },
  // A target owns the names of what it emits.
  { ...batch, prefix: "compiler/batch/ray/", files: [...batch.files, "targets/c/python-project.ts"] },
  batch,
  { prefix: "compiler/serve/", files: ["compiler/serve/", "runtime/", ...foundations], packages: ["valibot"], builtins: "static" },
  { prefix: "compiler/index.ts", files: anything, builtins: "static" },
  { prefix: "compiler/pipeline.ts", files: anything, builtins: "static" },
  { prefix: "compiler/targets.ts", files: anything, builtins: "none" },
  { prefix: "compiler/options.ts", files: anything, builtins: "static" },
  { prefix: "compiler/refine.ts", files: anything, builtins: "static" },
  { prefix: "compiler/artefact/verify/", files: anything, packages: ["wabt"], builtins: "static" },
  {
    prefix: "compiler/artefact/",
    // The runtime owns the manifest's format, version and checksum, and the way in which tokenizers and templates are opened.
    files: [
      "compiler/",
      "runtime/manifest.ts",
      "runtime/manifest-parse.ts",
      "runtime/tokenizer.ts",
      "runtime/chat/template.ts",
      "runtime/errors.ts",
    ],
    types: ["targets/target.ts", "runtime/"],
    builtins: "static",
  },
  {
    prefix: "compiler/evaluate/",
    files: ["compiler/evaluate/", "compiler/import/", "compiler/graph/", ...foundations],
    types: ["runtime/"],
    builtins: "none",
  },
  { ...nativeBuilds, prefix: "compiler/native/kernels.ts", packages: ["koffi"] },
  nativeBuilds,
  { prefix: "compiler/chart/", files: ["compiler/chart/", ...foundations], packages: ["d3-scale", "d3-shape"], builtins: "none" },
  {
    prefix: "compiler/explore/",
    files: ["compiler/", "runtime/"],
    except: ["compiler/commands/", "compiler/cli.ts", "compiler/serve/", "compiler/batch/", "runtime/chat/", "runtime/json-schema/"],
    packages: ["valibot"],
    builtins: "static",
  },
  { prefix: "compiler/bench/", files: ["compiler/", "runtime/"], types: ["targets/target.ts"], builtins: "static" },
  {
    prefix: "targets/target.ts",
    files: ["compiler/kernel/", ...foundations],
    types: ["compiler/plan/program.ts", "runtime/manifest.ts"],
    builtins: "none",
  },
  { ...wasmTarget, prefix: "targets/wasm/assembler.ts", packages: ["binaryen"] },
  wasmTarget,
  cTarget,
  { prefix: "targets/package.ts", files: ["targets/target.ts"], types: ["runtime/manifest.ts"], builtins: "none" },
  {
    prefix: "examples/",
    files: ["examples/", "compiler/index.ts", "runtime/index.ts"],
    packages: ["lfmc", "demo-model"],
    builtins: "static",
  },
];

/** One line for each import of `file` that its area's row does not allow. */
export function importFaults(file: SourceFile): readonly string[] {
  const area = areas.find(({ prefix }) => file.path.startsWith(prefix));
  if (area === undefined) return [`${file.path}: belongs to no area of the import table`];
  return importsOf(file)
    .filter((entry) => !isAllowed(area, entry))
    .map((entry) => `${file.path}:${String(entry.line)}: ${area.prefix} may not import ${entry.target} (${entry.form})`);
}

function isAllowed(area: Area, { kind, form, target }: Import): boolean {
  const listed = (prefixes: readonly string[]): boolean => prefixes.some((prefix) => target.startsWith(prefix));
  switch (kind) {
    case "builtin":
      return form === "types" || area.builtins === "static" || (area.builtins === "dynamic" && form === "dynamic");
    case "package":
      return (area.packages ?? []).some((name) => target === name || target.startsWith(`${name}/`));
    case "file":
      return (listed(area.files) && !listed(area.except ?? [])) || (form === "types" && listed(area.types ?? []));
  }
}
