/** What the kernel library exports, read from its sources: the functions that conformance must have a row for. */

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const folder = fileURLToPath(new URL("../../compiler/kernel/library/", import.meta.url));
/** Declared result types of functions that make a kernel, or the half of one that a product needs. */
const madeTypes = new Set(["Kernel", "GemmEpilogue"]);

/** Names of the library's exported functions that make kernels or epilogues, sorted. */
export function kernelMakers(): readonly string[] {
  const files = readdirSync(folder).filter((name) => name.endsWith(".ts"));
  return files.flatMap((name) => makersIn(readFileSync(folder + name, "utf8"))).toSorted();
}

/** The same of one source text. */
export function makersIn(text: string): readonly string[] {
  const source = ts.createSourceFile("library.ts", text, ts.ScriptTarget.Latest, true);
  return source.statements.flatMap((statement) => {
    if (!ts.canHaveModifiers(statement) || !ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) return [];
    if (ts.isFunctionDeclaration(statement)) return made(statement.type) ? [statement.name?.text ?? "default"] : [];
    if (!ts.isVariableStatement(statement)) return [];
    return statement.declarationList.declarations.flatMap(({ name, initializer }) =>
      initializer && (ts.isArrowFunction(initializer) || ts.isFunctionExpression(initializer)) && made(initializer.type)
        ? [name.getText()]
        : [],
    );
  });
}

function made(type: ts.TypeNode | undefined): boolean {
  return type !== undefined && madeTypes.has(type.getText());
}
