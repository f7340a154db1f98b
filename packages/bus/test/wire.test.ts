import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import * as messages from "@opencf/bus/messages";

// `UPDATE_DOCS=1 npx vitest run packages/bus/test/wire.test.ts` writes the document anew.
const file = fileURLToPath(new URL("../../../docs/wire.md", import.meta.url));

interface Schema { type?: string; properties?: Record<string, Schema>; required?: string[]; items?: Schema; anyOf?: Schema[]; const?: unknown; patternProperties?: Record<string, Schema> }
interface Row { subject: string; about: string; from: string; to: string; queue?: string; body: { schema: Schema }; reply?: { schema: Schema } }

const shape = (schema: Schema): string => {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return schema.anyOf.map(shape).join(" or ");
  if (schema.type === "array") return `[${shape(schema.items ?? {})}]`;
  if (schema.properties) {
    const fields = Object.entries(schema.properties).map(([name, field]) => `${name}${schema.required?.includes(name) ? "" : "?"}: ${shape(field)}`);
    return fields.length === 0 ? "nothing" : `{ ${fields.join(", ")} }`;
  }
  if (schema.patternProperties) return `{ name: ${shape(Object.values(schema.patternProperties)[0] ?? {})} }`;
  return schema.type ?? "anything";
};

function document(): string {
  const rows = Object.values(messages).filter((each): each is typeof messages.routerStart => "subject" in each) as unknown as Row[];
  const sections = rows.map(({ subject, about, from, to, queue, body, reply }) => [
    `### \`${subject}\``, "", about, "", `- from ${from} to ${to}${queue ? `, queue group \`${queue}\`` : ""}`, `- body: \`${shape(body.schema)}\``,
    ...(reply ? [`- answer: \`${shape(reply.schema)}\``] : []), "",
  ].join("\n"));
  return `# What goes over the bus

Every subject of \`@opencf/bus/messages\`, made from the declarations in \`packages/bus/src/messages/\`; a test keeps this page true.
All bodies are UTF-8 JSON. A \`?\` marks a field that may be absent; fields that are not listed pass through untouched.
Memory and disk limits are in MB of 2^20 bytes, times in seconds since the epoch, unless the name says otherwise.

${sections.join("\n")}`;
}

test("docs/wire.md says what the declarations say", () => {
  if (process.env["UPDATE_DOCS"]) writeFileSync(file, document());
  expect(readFileSync(file, "utf8")).toBe(document());
});
