/** Numbers in kernels' names, which match [a-z0-9_]. */

/** A number by its shortest decimal form, unambiguously: 0.125 is `1_25em1`, 1e5 is `1ep5`, -2 is `m2ep0`. */
export function numberName(x: number): string {
  return x.toExponential().replace(".", "_").replaceAll("-", "m").replace("+", "p");
}
