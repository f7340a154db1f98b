import { createRequire } from "node:module";
import Ajv04 from "ajv-draft-04";
import Ajv, { type ErrorObject, type Options, type ValidateFunction } from "ajv";
import Ajv2019 from "ajv/dist/2019.js";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { isObject } from "./json.ts";

/** Says what is wrong with parameters, in the words the platform's user gets to read; `undefined` = nothing. */
export type ParameterCheck = (parameters: unknown) => string | undefined;

/** Largest schema, as JSON text: the limit of the specification, counted as Cloud Foundry counts. */
export const maxSchemaChars = 65_536;

// Unknown keywords are allowed, as JSON Schema says; values are not changed, so what is compared and stored is what was sent.
const options: Options = { strict: false, allErrors: false, validateFormats: true, addUsedSchema: false, logger: false };

// Node 20 warns about JSON imports, and the file is only wanted for the one draft ajv does not bring along.
const require = createRequire(import.meta.url);

interface Validators {
  compile(schema: object): ValidateFunction;
}

const makers: Readonly<Record<string, () => Validators>> = {
  "http://json-schema.org/draft-04/schema": () => withFormats(new Ajv04.default(options) as unknown as Ajv.default),
  "http://json-schema.org/draft-06/schema": () => withFormats(new Ajv.default(options).addMetaSchema(require("ajv/dist/refs/json-schema-draft-06.json") as object)),
  "http://json-schema.org/draft-07/schema": () => withFormats(new Ajv.default(options)),
  "https://json-schema.org/draft/2019-09/schema": () => withFormats(new Ajv2019.default(options)),
  "https://json-schema.org/draft/2020-12/schema": () => withFormats(new Ajv2020.default(options)),
};

function withFormats(ajv: Ajv.default): Ajv.default {
  addFormats.default(ajv as never);
  return ajv;
}

/** A compiler for the schemas of one catalog: a draft's rules are themselves compiled, which is done once. */
export function createSchemaCompiler(): (schema: unknown) => ParameterCheck {
  const made = new Map<string, Validators>();
  return (schema) => compileSchema(schema, (draft) => {
    const known = made.get(draft) ?? makers[draft]?.();
    if (known !== undefined) made.set(draft, known);
    return known;
  });
}

/**
 * Compiles one `parameters` schema of a catalog. Draft 4, 6, 7, 2019-09 and 2020-12 are known; `$schema` must name one;
 * references must stay inside the schema (`#…`). Throws plain `Error`s whose messages the catalog check collects.
 */
function compileSchema(schema: unknown, validators: (draft: string) => Validators | undefined): ParameterCheck {
  if (!isObject(schema)) throw new Error("a schema must be an object");
  if (JSON.stringify(schema).length > maxSchemaChars) throw new Error(`a schema may have ${maxSchemaChars} characters`);
  const { $schema } = schema;
  if (typeof $schema !== "string") throw new Error("a schema must name its draft in $schema");
  const rules = validators($schema.replace(/#$/, ""));
  if (rules === undefined) throw new Error(`unknown draft in $schema: ${$schema}; known are ${Object.keys(makers).join(", ")}`);
  const foreign = foreignReference(schema);
  if (foreign !== undefined) throw new Error(`a schema must not refer to anything outside itself: ${foreign}`);
  const validate = rules.compile(schema);
  return (parameters) => (validate(parameters) ? undefined : describe(validate.errors?.[0]));
}

/** `$ref` inside `enum` or `const` is data, but no sane schema has it there, and refusing is the safe side. */
function foreignReference(value: unknown): string | undefined {
  if (Array.isArray(value)) return value.map(foreignReference).find((one) => one !== undefined);
  if (!isObject(value)) return undefined;
  for (const [key, part] of Object.entries(value)) {
    if ((key === "$ref" || key === "$dynamicRef" || key === "$recursiveRef") && typeof part === "string" && !part.startsWith("#")) return part;
    const inner = foreignReference(part);
    if (inner !== undefined) return inner;
  }
  return undefined;
}

function describe(error: ErrorObject | undefined): string {
  if (error === undefined) return "parameters do not fit the plan's schema";
  const { additionalProperty, allowedValues } = error.params as { additionalProperty?: string; allowedValues?: unknown[] };
  const more = additionalProperty !== undefined ? `: ${additionalProperty}` : allowedValues !== undefined ? `: ${JSON.stringify(allowedValues)}` : "";
  return `parameters${error.instancePath} ${error.message ?? "is not valid"}${more}`;
}
