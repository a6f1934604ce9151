/** The `format`s of JSON schema that strings are held to, as patterns; narrower than the specification where that is shorter. */

const day = String.raw`\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))`;
const time = String.raw`(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)`;
const label = "[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?";
const byte = String.raw`(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`;

export const formatPatterns: ReadonlyMap<string, string> = new Map([
  ["date", `^${day}$`],
  ["time", `^${time}$`],
  ["date-time", `^${day}T${time}$`],
  ["email", String.raw`^[A-Za-z0-9_+-]{1,30}(?:\.[A-Za-z0-9_+-]{1,30}){0,3}@${label}(?:\.${label}){1,3}$`],
  ["hostname", String.raw`^${label}(?:\.${label}){0,4}$`],
  ["ipv4", String.raw`^${byte}(?:\.${byte}){3}$`],
  ["uuid", "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"],
]);

/** Formats that assert something and have no pattern here. All others are annotations. */
export const unsupportedFormats: ReadonlySet<string> = new Set(
  (
    "duration idn-email idn-hostname ipv6 uri uri-reference iri iri-reference uri-template json-pointer " + "relative-json-pointer regex"
  ).split(" "),
);
