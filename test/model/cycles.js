/**
 * What a process holds that loads a model and disposes of it again and again, without a hand on its garbage collector: a program for every engine,
 * `cycles.js <artefact> <threads> <cycles>`. Prints the largest resident set by the cycles so far, in bytes, as a line of JSON.
 */
const [artefact, threads, cycles] = process.argv.slice(2);
const { load } = await import(new URL("index.js", artefact));

const peaks = [];
for (let cycle = 0; cycle < Number(cycles); cycle++) {
  const model = await load({ base: new URL(artefact), threads: Number(threads) });
  // A session's slot is cleared when it is made: so the whole plan becomes resident.
  const sessions = Array.from({ length: model.manifest.limits.sessions }, () => model.createSession());
  await sessions[0].complete([1, 5, 7], { maxTokens: 2, ignoreEos: true });
  await model.dispose();
  peaks.push(Math.max(process.memoryUsage().rss, peaks.at(-1) ?? 0));
}
console.log(JSON.stringify(peaks));
