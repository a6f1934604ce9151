/** What the tests use of @webassemblyjs/wasm-parser, which ships no types. */
declare module "@webassemblyjs/wasm-parser" {
  interface Limit {
    readonly type: "Limit";
    readonly min: number;
    readonly max?: number;
    readonly shared?: boolean;
  }
  interface ModuleImport {
    readonly type: "ModuleImport";
    readonly module: string;
    readonly name: string;
    readonly descr: { readonly type: string; readonly limits?: Limit };
  }
  interface ModuleExport {
    readonly type: "ModuleExport";
    readonly name: string;
    readonly descr: { readonly exportType: string };
  }
  type Field = ModuleImport | ModuleExport | { readonly type: "Other" };
  interface Module {
    readonly type: "Module";
    readonly fields: readonly Field[];
  }
  export function decode(
    binary: ArrayBuffer | Uint8Array,
    options?: { readonly dump?: boolean; readonly ignoreCodeSection?: boolean; readonly ignoreDataSection?: boolean },
  ): { readonly type: "Program"; readonly body: readonly Module[] };
}
