import type { TSchema } from "@sinclair/typebox";
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";

// Two compilations of a schema: the one that everything goes through stops at the first fault; the one that explains is made when there is one.
const ajv = (options: { allErrors: boolean }): Ajv => new Ajv({ ...options, strict: false, strictNumbers: true, validateFormats: false, code: { regExp } });
// What TypeBox writes for "every name" of a record passes over names with a line end, and their values would go unseen.
const regExp = Object.assign((pattern: string, flags: string): RegExp => new RegExp(pattern === "^(.*)$" ? "^[^]*$" : pattern, flags), { code: "new RegExp" });
let quick: Ajv | undefined;
let thorough: Ajv | undefined;
const explaining = new WeakMap<TSchema, ValidateFunction>();

/** What goes through here may be as large and as deep as a packet allows; a body deeper than the stack satisfies nothing. */
export function compile(schema: TSchema): (value: unknown) => boolean {
  const validate = (quick ??= ajv({ allErrors: false })).compile(schema);
  return (value) => {
    try {
      return validate(value);
    } catch {
      return false;
    }
  };
}

/** Parts of a body that all its faults are looked for in; of a larger one the first fault is enough. */
const maxParts = 2_000;
const maxIssues = 20;
const maxIssueLength = 200;

/** Every fault by the name of its field, without the value: it may be a secret. At most 20, each of one line. */
export function issuesOf(schema: TSchema, value: unknown): readonly string[] {
  try {
    const validate = isLarge(value) ? (quick ??= ajv({ allErrors: false })).compile(schema) : explainerOf(schema);
    return validate(value) ? [] : (validate.errors ?? []).slice(0, maxIssues).map(issue);
  } catch {
    return ["body: is too deep"];
  }
}

function explainerOf(schema: TSchema): ValidateFunction {
  let validate = explaining.get(schema);
  if (!validate) {
    validate = (thorough ??= ajv({ allErrors: true })).compile(schema);
    explaining.set(schema, validate);
  }
  return validate;
}

function isLarge(value: unknown): boolean {
  const open = [value];
  for (let parts = 0; open.length > 0; parts++) {
    if (parts > maxParts) return true;
    const each = open.pop();
    if (typeof each !== "object" || each === null) continue;
    // Never more than can be looked at, however many there are.
    if (Array.isArray(each)) for (let i = 0; i < each.length && i <= maxParts; i++) open.push(each[i]);
    else for (const key in each) if (open.push((each as Record<string, unknown>)[key]) > maxParts) return true;
  }
  return false;
}

const issue = ({ instancePath, message: text = "is wrong", params }: ErrorObject): string => {
  const where = oneLine(instancePath.slice(1).replaceAll("/", ".")) || "body";
  const extra = "additionalProperty" in params ? ` (${oneLine(String(params["additionalProperty"]))})` : "";
  return `${where}: ${text}${extra}`;
};

/** Names of fields are the sender's choice too. */
const oneLine = (text: string): string => (text.length > maxIssueLength ? `${text.slice(0, maxIssueLength)}…` : text).replace(/[\0-\x1f\x7f-\x9f\u2028\u2029]/g, "?");
