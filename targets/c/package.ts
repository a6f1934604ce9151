/** The npm-shaped package round C sources: the same JavaScript entry as a module's, and how to build and use the library without it. */
import type { Manifest } from "../../runtime/manifest.ts";
import { commonFiles, factRows, grouped, npmName, partExamples, usageExample } from "../package.ts";
import type { PackageFile, PackageInput } from "../target.ts";
import { withPrefix } from "./project.ts";
import { moduleName } from "./python-project.ts";

/** All text files but the C project's own, the declarations, the manifest and the runtime's own. */
export function cPackageFiles(input: PackageInput): readonly PackageFile[] {
  return [
    ...commonFiles(input, { main: { types: "./index.d.ts", default: "./index.js" }, parts: {} }),
    { path: "README.md", text: readme(input) },
  ];
}

function readme({ manifest, python }: PackageInput): string {
  const { name, model, memory, limits, variants, tokens } = manifest;
  const first = tokens.bos ?? 0;
  const example = withPrefix(embeddingExample.replace("@first@", String(first)), name);
  return `# ${name}

An ${model.type} model of ${grouped(model.parameters)} parameters, compiled to C99 by lfmc: no dependencies, no allocation after create, and the same bits from every compiler and
processor. The best of its variants that the processor runs (${variants.map((variant) => variant.name).join(", ")}) is chosen at run time.

## Build

\`\`\`sh
make                                       # build/lib${name}.a, build/lib${name}.so and the executable build/${name}
build/${name} run --tokens ${first} --max-tokens 16   # token ids in and out; also forward and bench
cmake -B build/cmake && cmake --build build/cmake && cmake --install build/cmake --prefix DIR
\`\`\`

After the install \`find_package(${name})\` gives the target \`${name}::${name}\`, and \`pkg-config ${name}\` the flags. \`make LINKED_WEIGHTS=1\` puts the weights into the library.

## Use from C

\`\`\`c
${example}\`\`\`

Every call returns a status that \`${withPrefix("lfm_status_text", name)}\` puts into words; [${name}.h](${name}.h) has the rest: rewind, save, restore, threads.

## Use from JavaScript

By a foreign function interface, which Deno and Bun have, and for Node the npm package koffi. The library must have been built: \`make\` leaves it where the entry finds it, for this kind of machine alone.

${usageExample(manifest, [
  "npm install --install-links FOLDER           # after make; or the tarball that `npm pack FOLDER` makes of it then",
  "deno run --allow-read --allow-ffi main.mjs   # or bun main.mjs, or npm install koffi && node main.mjs",
])}
${partExamples(manifest)}${python ? pythonSection(manifest) : ""}
## Size

| | |
|---|---|
${factRows(manifest)}
| arena | ${grouped(memory.bytes)} bytes, fixed when the model was compiled, and ${grouped(memory.threadBytes)} for each thread |
| rows a call | ${limits.prefillChunk}, of which ${limits.logitRows} may want logits |
`;
}

/** The package in a program, as a section of the README. */
function pythonSection(manifest: Manifest): string {
  const { name, files, tokens } = manifest;
  const module = moduleName(name);
  const [prompt, output, needs] =
    files.tokenizer === null
      ? [`[${tokens.bos ?? 0}]`, "part.token", "the standard library alone"]
      : ['"Once upon a time"', "part.text", "the standard library, and for texts `tokenizers`"];
  return `
## Use from Python

\`\`\`sh
pip install FOLDER                           # or the wheel that \`pip wheel FOLDER\` makes; the library is built by make where it is not built yet
PYTHONPATH=FOLDER/python python3 main.py     # without installing, after make
\`\`\`

\`\`\`python
# main.py
from ${module} import load

with load(threads=2) as model, model.create_session() as session:
    for part in session.generate(${prompt}, max_tokens=64):
        print(${output}, end="${files.tokenizer === null ? " " : ""}", flush=True)
\`\`\`

The package \`${module}\` (of \`${npmName(manifest)}\`) needs ${needs}. \`model.complete_batch(prompts)\` completes many prompts in shared calls, as many at once as there are session slots;
\`session.forward(ids)\` and \`model.forward(ids)\` give logits as float32 that \`numpy.asarray\` takes without a copy; \`session.save()\`, \`model.restore(bytes)\` and \`session.rewind(position)\` are exact.
Types and docstrings have the rest.
`;
}

const embeddingExample = `#include <stdio.h>
#include <stdlib.h>
#include "lfm.h"

int main(void) {
  const size_t bytes = lfm_arena_bytes(1);
  void *arena = malloc(bytes);
  lfm_model *model = NULL;
  lfm_row row = {@first@, 0, 0, 1}; /* token, slot, position, wants logits */
  lfm_status status = lfm_create(&model, arena, bytes, "weights.bin", 1, NULL);
  for (; status == LFM_OK && row.position < 16; row.position++) {
    status = lfm_forward(model, &row, 1);
    if (status != LFM_OK) break;
    const float *logits = lfm_logits(model, 0); /* [LFM_VOCABULARY] */
    row.token = 0;
    for (int32_t i = 1; i < LFM_VOCABULARY; i++)
      if (logits[i] > logits[row.token]) row.token = i;
    printf("%d\\n", (int)row.token);
  }
  if (status != LFM_OK) fprintf(stderr, "%s\\n", lfm_status_text(status));
  lfm_destroy(model);
  free(arena);
  return status != LFM_OK;
}
`;
