import fc from "fast-check";
import { expect, test } from "vitest";
import { StopStrings } from "../../runtime/stop-strings.ts";

/** What comes through when `text` arrives in pieces cut at `cuts`. */
function shown(text: string, cuts: readonly number[], stops: readonly string[]): string {
  const matcher = new StopStrings(stops);
  const borders = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length];
  let result = "";
  for (let i = 1; i < borders.length; i++) {
    const { text: safe, stopped } = matcher.push(text.slice(borders[i - 1], borders[i]));
    result += safe;
    if (stopped) return result;
  }
  return result + matcher.flush();
}

/** The same by definition: the shortest beginning of the text that ends with a stop string, without the longest that it ends with. */
function expected(text: string, stops: readonly string[]): string {
  for (let end = 1; end <= text.length; end++) {
    const lengths = stops.filter((stop) => text.slice(0, end).endsWith(stop)).map((stop) => stop.length);
    if (lengths.length > 0) return text.slice(0, end - Math.max(...lengths));
  }
  return text;
}

test("the text ends before the first complete stop string, however it was cut", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 24 });
  const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 5 }), { maxLength: 3 });
  fc.assert(
    fc.property(letters, fc.array(fc.nat(30)), stops, (text, cuts, list) => {
      expect(shown(text, cuts, list)).toBe(expected(text, list));
    }),
    { numRuns: 2000 },
  );
});

test("holds back no more than a stop string's beginning", () => {
  const matcher = new StopStrings(["END", "stop"]);
  expect(matcher.push("the E").text).toBe("the ");
  expect(matcher.push("xit sto").text).toBe("Exit ");
  expect(matcher.push("ne").text).toBe("stone");
  expect(matcher.push("no")).toEqual({ text: "no", stopped: false });
});

test("an empty stop string stops nothing", () => {
  expect(shown("abc", [1], [""])).toBe("abc");
});
