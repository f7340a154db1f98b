import type { TSchema } from "@sinclair/typebox";
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";

// Two compilations of a schema: the one that everything goes through stops at the first fault; the one that explains is made when there is one.
const ajv = (options: { allErrors: boolean }): Ajv => new Ajv({ ...options, strict: false, validateFormats: false });
let quick: Ajv | undefined;
let thorough: Ajv | undefined;
const explaining = new WeakMap<TSchema, ValidateFunction>();

export const compile = (schema: TSchema): ((value: unknown) => boolean) => (quick ??= ajv({ allErrors: false })).compile(schema);

/** Every fault by the name of its field, without the value: it may be a secret. At most 20. */
export function issuesOf(schema: TSchema, value: unknown): readonly string[] {
  let validate = explaining.get(schema);
  if (!validate) {
    validate = (thorough ??= ajv({ allErrors: true })).compile(schema);
    explaining.set(schema, validate);
  }
  return validate(value) ? [] : (validate.errors ?? []).slice(0, 20).map(issue);
}

const issue = ({ instancePath, message: text = "is wrong", params }: ErrorObject): string => {
  const where = instancePath.slice(1).replaceAll("/", ".") || "body";
  const extra = "additionalProperty" in params ? ` (${String(params["additionalProperty"])})` : "";
  return `${where}: ${text}${extra}`;
};
