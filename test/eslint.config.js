/**
 * Typed lint for everything that is TypeScript. What is switched off is listed at the end, each with its reason; nothing is
 * switched off in the code itself.
 */

import { fileURLToPath } from "node:url";
import tseslint from "typescript-eslint";

const root = fileURLToPath(new URL("..", import.meta.url));

export default tseslint.config(
  {
    ignores: [
      "dist/",
      "build/",
      "node_modules/",
      "**/*.js",
      "examples/demo-model/",
      "examples/demo-moe/",
      // Programs for other hosts, with the types of a package that their reader compiles; Deno checks its own in test/examples.
      "examples/bun/",
      "examples/deno/",
      "examples/*/model/",
    ],
  },
  { linterOptions: { noInlineConfig: true } },
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { project: "tsconfig.json", tsconfigRootDir: root } },
    rules: {
      eqeqeq: "error",
      "no-console": "error",
      "no-var": "error",
      "prefer-const": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", name: "test", package: "vitest" }] },
      ],
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "separate-type-imports" }],
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-non-null-assertion": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],

      // Numbers are what these messages are about; `${String(count)}` says no more than `${count}`.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      // A spread string is its code points, and here that is what is meant.
      "@typescript-eslint/no-misused-spread": ["error", { allow: ["string"] }],
      // `for (let i = …)` over typed arrays is the idiom of numeric code, often with more than one array.
      "@typescript-eslint/prefer-for-of": "off",
    },
  },
  {
    // binaryen's typings declare as methods what are free functions; the emission tables name them as values.
    files: ["targets/wasm/*.ts"],
    rules: { "@typescript-eslint/unbound-method": "off" },
  },
  {
    // Declarations that merge with those of the host's type libraries must be empty, and have their type parameters to the letter.
    files: ["runtime/host-types.ts"],
    rules: {
      "@typescript-eslint/no-empty-object-type": "off",
      "@typescript-eslint/no-explicit-any": "off",
      "@typescript-eslint/no-namespace": "off",
      "@typescript-eslint/no-unused-vars": "off",
    },
  },
);
