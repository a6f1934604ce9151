/** Begins with the files that take longest, so that none of them is left for one worker when the other has nothing to do. */
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Paths, longest first: minutes each, where the others take seconds. */
const longest = [
  "bits/bits",
  "conformance/products",
  "bits/guards",
  "conformance/others",
  "model/bits",
  "conformance/operations",
  "cli/bench",
  "cli/compile",
  "model/artefact",
  "native/bench",
  "native/model",
  "cli/usage",
  "c/library",
  "model/golden",
  "conformance/mutation",
];

export class LongestFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const index = longest.findIndex((path) => moduleId.includes(`/test/${path}`));
      return index < 0 ? longest.length : index;
    };
    return Promise.resolve(files.toSorted((a, b) => place(a) - place(b) || a.moduleId.localeCompare(b.moduleId)));
  }
}
