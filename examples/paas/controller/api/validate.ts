import { Type, type Static, type TProperties, type TSchema, type TObject } from "@sinclair/typebox";
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import { unprocessable } from "./errors.ts";

export { Type };
export type { Static, TSchema };

/** A body of exactly these keys. */
export const shape = <T extends TProperties>(properties: T): TObject<T> => Type.Object(properties, { additionalProperties: false });

/** The same schema, or null. */
export const nullable = <T extends TSchema>(schema: T) =>
  Type.Unsafe<Static<T> | null>({ ...schema, type: [schema["type"], "null"], ...(schema["enum"] !== undefined && { enum: [...(schema["enum"] as unknown[]), null] }) });

export const oneOf = <const T extends readonly string[]>(...values: T) => Type.Unsafe<T[number]>({ type: "string", enum: [...values] });

const reference = shape({ guid: Type.String({ minLength: 1 }) });
export const toOne = shape({ data: reference });
export const toOneOrNull = shape({ data: nullable(reference) });
export const toMany = shape({ data: Type.Array(reference) });
export const name = Type.String({ minLength: 1, maxLength: 255 });
export const metadata = shape({
  labels: Type.Optional(Type.Record(Type.String(), nullable(Type.String()))),
  annotations: Type.Optional(Type.Record(Type.String(), nullable(Type.String()))),
});

let shared: Ajv | undefined;
const ajv = (): Ajv => (shared ??= new Ajv({ allErrors: true, strict: false, allowUnionTypes: true }));

export type Check<T> = (body: unknown) => T;

/**
 * Turns a schema into a check that returns the typed body, or throws 422 with one text for everything that is wrong.
 * Compiled at its first use: compiling all of them would be a quarter of the platform's start.
 */
export function checker<T extends TSchema>(schema: T): Check<Static<T>> {
  let validate: ValidateFunction | undefined;
  return (body) => {
    validate ??= ajv().compile(schema);
    if (validate(body)) return body as Static<T>;
    throw unprocessable([[...new Set(texts(validate.errors ?? []))].join(", ")]);
  };
}

function texts(errors: readonly ErrorObject[]): string[] {
  const unknown = new Map<string, string[]>();
  const rest: string[] = [];
  for (const error of errors) {
    if (error.keyword === "additionalProperties") {
      const key = String((error.params as { additionalProperty?: unknown }).additionalProperty);
      unknown.set(error.instancePath, [...(unknown.get(error.instancePath) ?? []), `'${key}'`]);
    } else rest.push(text(error));
  }
  const first = [...unknown].map(([path, keys]) => `${path === "" ? "" : `${human(path)} `}Unknown field(s): ${keys.join(", ")}`);
  return [...first, ...rest];
}

function text({ keyword, instancePath, params }: ErrorObject): string {
  const what = human(instancePath);
  const p = params as Record<string, unknown>;
  switch (keyword) {
    case "required": return `${human(`${instancePath}/${String(p["missingProperty"])}`)} can't be blank`;
    case "type": return `${what} must be ${article(String(Array.isArray(p["type"]) ? p["type"][0] : p["type"]).split(",")[0] ?? "")}`;
    case "minLength": return p["limit"] === 1 ? `${what} can't be blank` : `${what} is too short (minimum is ${String(p["limit"])} characters)`;
    case "maxLength": return `${what} is too long (maximum is ${String(p["limit"])} characters)`;
    case "minimum": return `${what} must be greater than or equal to ${String(p["limit"])}`;
    case "exclusiveMinimum": return `${what} must be greater than ${String(p["limit"])}`;
    case "maximum": return `${what} must be less than or equal to ${String(p["limit"])}`;
    case "minItems": return `${what} must have at least ${String(p["limit"])} item(s)`;
    case "maxItems": return `${what} must have at most ${String(p["limit"])} items`;
    case "enum": return `${what} must be one of ${(p["allowedValues"] as unknown[]).filter((each) => each !== null).map((each) => `'${String(each)}'`).join(", ")}`;
    default: return `${what} is invalid`;
  }
}

const article = (type: string): string => (/^[aeio]/.test(type) ? `an ${type}` : `a ${type}`);

/** `/relationships/space/data/guid` to `Relationships space data guid`. */
function human(path: string): string {
  const words = path.split("/").filter((each) => each !== "").join(" ").replaceAll("_", " ").replaceAll("~1", "/").replaceAll("~0", "~");
  return words === "" ? "Request body" : words.charAt(0).toUpperCase() + words.slice(1);
}
