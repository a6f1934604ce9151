/** The helpers on scalars that emitted C uses: arithmetic that wraps, saturation, memory. Each is defined where it is used. */

const unsigned = (operator: string): string => `(int32_t)((uint32_t)a ${operator} (uint32_t)b)`;

function load(name: string, type: string, result: string): string {
  return `static inline ${result} ${name}(const unsigned char *p) { ${type} x; memcpy(&x, p, sizeof x); return x; }`;
}

function store(name: string, type: string, value: string): string {
  return `static inline void ${name}(unsigned char *p, ${value} value) { const ${type} x = (${type})value; memcpy(p, &x, sizeof x); }`;
}

/** By name; whoever writes a name into C takes its definition along. */
export const scalarFunctions: Readonly<Record<string, string>> = {
  i32_add: `static inline int32_t i32_add(int32_t a, int32_t b) { return ${unsigned("+")}; }`,
  i32_sub: `static inline int32_t i32_sub(int32_t a, int32_t b) { return ${unsigned("-")}; }`,
  i32_mul: `static inline int32_t i32_mul(int32_t a, int32_t b) { return ${unsigned("*")}; }`,
  i32_shl: "static inline int32_t i32_shl(int32_t a, int bits) { return (int32_t)((uint32_t)a << bits); }",
  i32_shr_s: "static inline int32_t i32_shr_s(int32_t a, int bits) { return a >> bits; }",
  i32_shr_u: "static inline int32_t i32_shr_u(int32_t a, int bits) { return (int32_t)((uint32_t)a >> bits); }",
  i32_div_u: "static inline int32_t i32_div_u(int32_t a, uint32_t divisor) { return (int32_t)((uint32_t)a / divisor); }",
  i32_rem_u: "static inline int32_t i32_rem_u(int32_t a, uint32_t divisor) { return (int32_t)((uint32_t)a % divisor); }",
  i16_saturate: "static inline int16_t i16_saturate(int32_t a) { return (int16_t)(a < -32768 ? -32768 : a > 32767 ? 32767 : a); }",
  i8_saturate: "static inline int8_t i8_saturate(int32_t a) { return (int8_t)(a < -128 ? -128 : a > 127 ? 127 : a); }",
  f32_min: "static inline float f32_min(float a, float b) { return b < a ? b : a; }",
  f32_max: "static inline float f32_max(float a, float b) { return a < b ? b : a; }",
  f32_of_bits: "static inline float f32_of_bits(int32_t bits) { float x; memcpy(&x, &bits, sizeof x); return x; }",
  i32_of_bits: "static inline int32_t i32_of_bits(float x) { int32_t bits; memcpy(&bits, &x, sizeof bits); return bits; }",
  prefetch: [
    "static inline void prefetch(const unsigned char *p) {",
    "#if defined(__GNUC__)",
    "  __builtin_prefetch(p);",
    "#else",
    "  (void)p;",
    "#endif",
    "}",
  ].join("\n"),
  f32_load: load("f32_load", "float", "float"),
  i32_load: load("i32_load", "int32_t", "int32_t"),
  i32_load_u8: "static inline int32_t i32_load_u8(const unsigned char *p) { return p[0]; }",
  i32_load_u16: load("i32_load_u16", "uint16_t", "int32_t"),
  f32_store: store("f32_store", "float", "float"),
  i32_store: store("i32_store", "int32_t", "int32_t"),
  i32_store_8: store("i32_store_8", "int8_t", "int32_t"),
  i32_store_16: store("i32_store_16", "int16_t", "int32_t"),
};

/** Names of scalar functions in C text. */
export function scalarFunctionsIn(text: string): readonly string[] {
  return Object.keys(scalarFunctions).filter((name) => new RegExp(`\\b${name}\\(`).test(text));
}
