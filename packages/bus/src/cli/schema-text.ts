import type { TSchema } from "@sinclair/typebox";

/** One field of a message, as `opencf-bus messages SUBJECT` lists it. */
export interface FieldRow {
  /** Path such as `limits.mem` or `droplets[].state`. */
  readonly path: string;
  readonly type: string;
  readonly required: boolean;
  readonly about: string;
}

type Schema = Readonly<Record<string, unknown>>;
const schemas = (value: unknown): readonly Schema[] => (Array.isArray(value) ? (value as Schema[]) : []);
const alternatives = (schema: Schema): readonly Schema[] => schemas(schema["anyOf"] ?? schema["oneOf"]);
const propertiesOf = (schema: Schema): Readonly<Record<string, Schema>> =>
  Object.assign({}, ...schemas(schema["allOf"]).map(propertiesOf), schema["properties"] ?? {}) as Record<string, Schema>;
const requiredOf = (schema: Schema): readonly string[] => [...schemas(schema["allOf"]).flatMap(requiredOf), ...((schema["required"] as string[] | undefined) ?? [])];

/** A type in the words of JSON: `text`, `integer 0..65535`, `"port" | "http"`, `list of text`, `map of text`. */
export function typeText(schema: Schema): string {
  if ("const" in schema) return JSON.stringify(schema["const"]);
  if (Array.isArray(schema["enum"])) return schema["enum"].map((each) => JSON.stringify(each)).join(" | ");
  if (alternatives(schema).length > 0) return [...new Set(alternatives(schema).map(typeText))].join(" | ");
  if (schema["type"] === "array") {
    if (Array.isArray(schema["items"])) return `list of ${schemas(schema["items"]).map(typeText).join(", ")}`;
    return `list of ${typeText((schema["items"] as Schema | undefined) ?? {})}`;
  }
  if (schema["patternProperties"] !== undefined) return `map of ${typeText(Object.values(schema["patternProperties"] as Record<string, Schema>)[0] ?? {})}`;
  if (schema["type"] === "object" || schema["allOf"] !== undefined) return "object";
  const { minimum, maximum } = schema as { minimum?: number; maximum?: number };
  const range = minimum === undefined && maximum === undefined ? "" : ` ${minimum ?? ""}..${maximum ?? ""}`;
  const name = { string: "text", integer: "integer", number: "number", boolean: "true or false", null: "null" }[String(schema["type"])] ?? "anything";
  return `${name}${range}`;
}

/** Every field with those below it; a body that is no object gives one row with the path `(body)`. */
export function fieldRows(schema: TSchema): FieldRow[] {
  const rows: FieldRow[] = [];
  walk(schema as Schema, "", rows);
  return rows.length > 0 || isEmptyObject(schema as Schema) ? rows : [{ path: "(body)", type: typeText(schema as Schema), required: true, about: aboutOf(schema as Schema) }];
}

const isEmptyObject = (schema: Schema): boolean => typeText(schema) === "object";
const aboutOf = (schema: Schema): string => (typeof schema["description"] === "string" ? schema["description"] : "");

function walk(schema: Schema, prefix: string, rows: FieldRow[]): void {
  if (prefix.split(".").length > 8) return;
  if (alternatives(schema).length > 0) {
    const seen = new Set(rows.map(({ path }) => path));
    for (const each of alternatives(schema)) {
      const own: FieldRow[] = [];
      walk(each, prefix, own);
      for (const row of own) if (!seen.has(row.path)) rows.push(row);
      own.forEach(({ path }) => seen.add(path));
    }
    return;
  }
  if (schema["type"] === "array") {
    if (schema["items"] !== undefined && !Array.isArray(schema["items"])) walk(schema["items"] as Schema, `${prefix.replace(/\.$/, "")}[].`, rows);
    return;
  }
  const required = requiredOf(schema);
  for (const [name, field] of Object.entries(propertiesOf(schema))) {
    rows.push({ path: `${prefix}${name}`, type: typeText(field), required: required.includes(name), about: aboutOf(field) });
    walk(field, `${prefix}${name}.`, rows);
  }
}

const guid = "1f6e0c52-6f0a-4c3e-9d5b-2a7b8c9d0e1f";
/** Values that look like real ones, by the name of the field; they are tried first. */
const likely: Readonly<Record<string, readonly unknown[]>> = {
  host: ["10.0.0.7", "10.0.0.7:8080"], ip: ["10.0.0.7"], port: [8080], uris: [["shop.example.com"]], hosts: [["10.0.0.5"]], app: [guid], app_id: [guid], droplet: [guid], guid: [guid],
  instance: ["7c1d9a4e5b"], instance_guid: ["7c1d9a4e5b"], private_instance_id: ["7c1d9a4e5b"], id: ["0-5f2b9c"], dea: ["0-5f2b9c"], dea_id: ["0-5f2b9c"], version: ["c0ffee", 1], index: [0], instance_index: [0],
  name: ["shop"], state: ["RUNNING"], type: ["Router"], uuid: ["0-5f2b9c"], stack: ["cflinuxfs4"], stacks: [["cflinuxfs4"]], mem: [512], disk: [1024], fds: [16384], available_memory: [4096], available_disk: [16384],
  reason: ["CRASHED"], start: ["2024-05-01 12:00:00 +0000"], timestamp: ["1700000000000000000"], state_timestamp: [1700000000], minimumRegisterIntervalInSeconds: [20], pruneThresholdInSeconds: [120],
  task_id: ["9b3e77"], download_uri: ["https://blobs.example.com/package"], upload_uri: ["https://blobs.example.com/droplet"], credentials: [["user", "password"]], message_id: ["m-1"], node_id: ["node_0"],
};

/** A body that satisfies the schema: everything required, and what is usually there. */
export function exampleOf(schema: TSchema, isValid: (value: unknown) => boolean): unknown {
  const usual = sample(schema as Schema, undefined, true);
  return isValid(usual) ? usual : sample(schema as Schema, undefined, false);
}

function sample(schema: Schema, name: string | undefined, usual: boolean): unknown {
  const given = name === undefined ? undefined : (likely[name] ?? []).find((value) => fits(schema, value));
  if (given !== undefined) return given;
  if ("const" in schema) return schema["const"];
  if (Array.isArray(schema["enum"])) return schema["enum"][0];
  const [first] = alternatives(schema);
  if (first) return sample(first, name, usual);
  switch (schema["type"]) {
    case "array":
      if (Array.isArray(schema["items"])) return schemas(schema["items"]).map((item) => sample(item, undefined, usual));
      return [sample((schema["items"] as Schema | undefined) ?? {}, name === undefined ? undefined : name.replace(/s$/, ""), usual)];
    case "string":
      return name ?? "text";
    case "integer":
    case "number":
      return typeof schema["minimum"] === "number" ? Math.max(1, schema["minimum"]) : 1;
    case "boolean":
      return true;
    case "null":
      return null;
    default:
      break;
  }
  const required = requiredOf(schema);
  return Object.fromEntries(Object.entries(propertiesOf(schema))
    .filter(([field]) => required.includes(field) || (usual && field in likely))
    .map(([field, each]) => [field, sample(each, field, usual)]));
}

/** Roughly: what is wrong all the same is found by the validator afterwards. */
function fits(schema: Schema, value: unknown): boolean {
  if (alternatives(schema).length > 0) return alternatives(schema).some((each) => fits(each, value));
  if ("const" in schema) return schema["const"] === value;
  if (schema["type"] === "array") return Array.isArray(value) && value.every((each) => fits((schema["items"] as Schema | undefined) ?? {}, each));
  if (schema["type"] === "string") return typeof value === "string" && (typeof schema["pattern"] !== "string" || new RegExp(schema["pattern"]).test(value));
  if (schema["type"] === "integer") return Number.isInteger(value) && (value as number) <= ((schema["maximum"] as number | undefined) ?? Infinity);
  return schema["type"] === "number" ? typeof value === "number" : schema["type"] === undefined && schema["allOf"] === undefined;
}
