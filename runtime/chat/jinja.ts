/**
 * The only file that knows @huggingface/jinja: a template's source to its nodes, and the interpreter that walks them. The package's
 * declarations do not resolve under Node's module rules, so what is used of it is declared here.
 */
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";

/** A node of a parsed template. */
export interface TemplateNode {
  readonly type: string;
}

/** A template's value: one of JavaScript's, and its type's name. */
export interface TemplateValue {
  readonly type: string;
  readonly value: unknown;
}

/** Variables by name. */
export interface TemplateScope {
  set(name: string, value: unknown): unknown;
}

/** Everything that it does goes through `evaluate`, which may be replaced. */
export interface TemplateInterpreter {
  evaluate(node: TemplateNode | undefined, scope: TemplateScope): TemplateValue;
}

interface Package {
  readonly Environment: new () => TemplateScope;
  readonly Interpreter: new (scope: TemplateScope) => TemplateInterpreter;
  readonly parse: (tokens: unknown) => TemplateNode;
  readonly tokenize: (source: string, options: { readonly lstrip_blocks: boolean; readonly trim_blocks: boolean }) => unknown;
}

/** The nodes of a template, white space treated as transformers does. Throws what the package throws where there are none. */
export function parseJinja(source: string): TemplateNode {
  const jinja = openPackage();
  return jinja.parse(jinja.tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
}

/** An interpreter and the scope of a template that knows these variables. */
export function createInterpreter(variables: Readonly<Record<string, unknown>>): {
  readonly interpreter: TemplateInterpreter;
  readonly scope: TemplateScope;
} {
  const jinja = openPackage();
  const scope = new jinja.Environment();
  for (const [name, value] of Object.entries(variables)) scope.set(name, value);
  return { interpreter: new jinja.Interpreter(scope), scope };
}

function openPackage(): Package {
  const parts: readonly unknown[] = [Environment, Interpreter, parse, tokenize];
  const [environment, interpreter, parser, tokenizer] = parts;
  const found: unknown = { Environment: environment, Interpreter: interpreter, parse: parser, tokenize: tokenizer };
  if (isPackage(found)) return found;
  throw new Error("@huggingface/jinja is missing");
}

function isPackage(value: unknown): value is Package {
  return typeof value === "object" && value !== null && Object.values(value).every((part) => typeof part === "function");
}
