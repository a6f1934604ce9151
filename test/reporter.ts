/**
 * The last lines of a test run, for people and for scripts: why each skipped test was skipped, then `N passed, N failed` (and
 * `, N skipped` where there are any). The counts are the runner's own; a file that could not be loaded counts as one failure,
 * and so does an error outside of any test or a run without tests, so that the line never says "0 failed" of a run that exits with an error.
 */

import type { Reporter, SerializedError, TestCase, TestModule, TestSuite } from "vitest/node";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Prints when the process ends, since other reporters may print after the run does. */
export class PlainReporter implements Reporter {
  private lines: readonly string[] = [];

  onInit(): void {
    process.once("exit", () => {
      if (this.lines.length > 0) process.stdout.write(`${this.lines.join("\n")}\n`);
    });
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const counts: Counts = { passed: 0, failed: unhandledErrors.length + (modules.length === 0 ? 1 : 0), skipped: 0 };
    const reasons: string[] = [];
    for (const module of modules) {
      counts.failed += brokenSuites(module);
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === "passed") counts.passed++;
        else if (result.state === "skipped") {
          counts.skipped++;
          reasons.push(`skipped: ${module.relativeModuleId} > ${test.fullName}: ${result.note ?? "marked so in the test"}`);
        } else counts.failed++;
      }
    }
    this.lines = [...reasons, plainLine(counts)];
  }
}

/** Modules and suites that failed by themselves (an import, a hook), where no test of theirs says so. */
function brokenSuites(module: TestModule): number {
  const suites: (TestModule | TestSuite)[] = [module, ...module.children.allSuites()];
  return suites.filter((suite) => suite.errors().length > 0 && ![...suite.children.allTests()].some(hasFailed)).length;
}

function hasFailed(test: TestCase): boolean {
  return test.result().state === "failed";
}

function plainLine({ passed, failed, skipped }: Counts): string {
  return `${String(passed)} passed, ${String(failed)} failed${skipped > 0 ? `, ${String(skipped)} skipped` : ""}`;
}
