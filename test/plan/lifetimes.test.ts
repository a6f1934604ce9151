/** The arena: tenants alive at the same time never share a byte, and sharing never costs memory. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { alignment, placeTenants, type Tenant } from "../../compiler/plan/lifetimes.ts";

const tenants: fc.Arbitrary<readonly Tenant[]> = fc
  .array(fc.record({ bytes: fc.integer({ min: 1, max: 5000 }), firstStep: fc.nat(20), length: fc.nat(8) }), { maxLength: 25 })
  .map((list) => list.map(({ bytes, firstStep, length }, i) => ({ name: `t${i}`, bytes, firstStep, lastStep: firstStep + length })));

const rounded = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

test("every tenant has an aligned place of its own size", () => {
  fc.assert(
    fc.property(tenants, (list) => {
      const { placements, bytes } = placeTenants(list);
      expect(placements.map(({ name }) => name).toSorted()).toEqual(list.map(({ name }) => name).toSorted());
      for (const tenant of list) {
        const place = placements.find(({ name }) => name === tenant.name);
        expect(place).toMatchObject({ bytes: rounded(tenant.bytes), firstStep: tenant.firstStep, lastStep: tenant.lastStep });
        expect((place?.offset ?? NaN) % alignment).toBe(0);
        expect((place?.offset ?? NaN) + rounded(tenant.bytes)).toBeLessThanOrEqual(bytes);
      }
    }),
  );
});

test("tenants alive at the same step lie apart", () => {
  fc.assert(
    fc.property(tenants, (list) => {
      const { placements } = placeTenants(list);
      for (let step = 0; step <= 30; step++) {
        const alive = placements
          .filter(({ firstStep, lastStep }) => firstStep <= step && step <= lastStep)
          .toSorted((a, b) => a.offset - b.offset);
        alive.slice(1).forEach((place, i) => {
          const before = alive[i];
          expect((before?.offset ?? NaN) + (before?.bytes ?? NaN)).toBeLessThanOrEqual(place.offset);
        });
      }
    }),
  );
});

test("the arena is no larger than all tenants side by side, and no smaller than the fullest step", () => {
  fc.assert(
    fc.property(tenants, (list) => {
      const { bytes } = placeTenants(list);
      const fullest = Array.from({ length: 31 }, (_, step) =>
        sum(list.filter(({ firstStep, lastStep }) => firstStep <= step && step <= lastStep).map((tenant) => rounded(tenant.bytes))),
      );
      expect(bytes).toBeLessThanOrEqual(sum(list.map((tenant) => rounded(tenant.bytes))));
      expect(bytes).toBeGreaterThanOrEqual(Math.max(...fullest));
    }),
  );
});

test("a chain of buffers of which two live at a time takes the room of two", () => {
  const chain = Array.from({ length: 9 }, (_, i) => ({ name: `t${i}`, bytes: 1000, firstStep: i, lastStep: i + 1 }));
  expect(placeTenants(chain).bytes).toBe(2 * rounded(1000));
});
