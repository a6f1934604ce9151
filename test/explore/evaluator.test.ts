/** `--evaluate`: what a command says, and all that it can do wrong. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { evaluateWith } from "../../compiler/explore/evaluator.ts";
import { commandJudge } from "../../compiler/explore/judge.ts";
import { defaultBase } from "../../compiler/explore/candidate-config.ts";
import { express } from "../../compiler/explore/genes.ts";
import { capacityOf } from "../../compiler/explore/quality.ts";
import { createRandom } from "../../compiler/explore/random.ts";
import { defaultSpace, drawGenotype, mutate } from "../../compiler/explore/space.ts";
import { required } from "../../compiler/errors.ts";
import { workFolder } from "../model/support.ts";

const folder = await workFolder();
const config = { path: join(folder, "config.json"), json: '{"hidden_size": 256}' };

describe("the command", () => {
  test("reads the config and its path, and prints the figure last", async () => {
    const command = `cat > '${folder}/in'; test "$LFMC_CONFIG" = '${config.path}' && echo noise 7 && grep -o '[0-9]*' '${folder}/in' && echo && echo`;
    expect(await evaluateWith(command, config, 10)).toEqual({ quality: 256, fault: null });
  });

  test.each([
    ["echo -0.5", -0.5, null],
    ["echo 1; exit 3", null, "ended with 3"],
    ["kill -9 $$", null, "ended with SIGKILL"],
    ["true", null, 'printed "", not a number, last'],
    ["echo 5; echo five", null, 'printed "five", not a number, last'],
    ["echo Infinity", null, 'printed "Infinity", not a number, last'],
    ["no-such-command 2>/dev/null", null, "ended with 127"],
    ["yes", null, "printed more than 1 MB"],
  ])("%s", async (command, quality, fault) => {
    expect(await evaluateWith(command, config, 10)).toEqual({ quality, fault });
  });

  test("is ended when its time is up, and what it has started too", async () => {
    const verdict = await evaluateWith(`(sleep 1; touch '${folder}/late') & echo 1; wait`, config, 0.2);
    expect(verdict).toEqual({ quality: null, fault: "took more than 0.2 s" });
    await new Promise((resolve) => setTimeout(resolve, 1200));
    expect(existsSync(join(folder, "late"))).toBe(false);
  });
});

test("what the command has not seen is judged by what is like it, and by capacity before the first figure", async () => {
  const random = createRandom(1);
  const genotype = required(drawGenotype(defaultSpace, random), "genotype");
  const far = express(required(drawGenotype(defaultSpace, random), "genotype"));
  const [near, next] = [express(genotype), express(mutate(genotype, defaultSpace, random))];
  const judge = commandJudge(defaultBase, ({ id }) =>
    Promise.resolve(id === near.id ? { quality: 10, fault: null } : { quality: null, fault: "no" }),
  );
  expect(judge.estimate(next)).toBe(capacityOf(next, defaultBase));
  expect(judge.qualityOf(next)).toEqual({ quality: null, qualitySource: "neighbours", qualityFault: null });
  await judge.learn([near, far]);
  expect(judge.estimate(next)).toBe(10);
  expect(judge.qualityOf(near)).toEqual({ quality: 10, qualitySource: "command", qualityFault: null });
  expect(judge.qualityOf(far)).toEqual({ quality: null, qualitySource: "command", qualityFault: "no" });
});
