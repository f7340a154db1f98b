import type { FastifyInstance } from "fastify";
import { requireScope, type UaaContext } from "../context.ts";
import { UaaServerError } from "../errors.ts";
import type { FilterColumns } from "../filter-sql.ts";
import { objectOf } from "../form.ts";
import type { Member } from "../groups.ts";
import type { GroupRow } from "../schema.ts";
import { pick, schemas } from "../scim.ts";
import { listAnswer, parseSearch, search } from "../search.ts";

type ById = { Params: { id: string } };
type ByMember = { Params: { id: string; memberId: string } };

const columns: FilterColumns = {
  id: { column: "id", kind: "exact" },
  displayname: { column: "display_name", kind: "text" },
  created: { column: "created_at", kind: "time" },
  "meta.created": { column: "created_at", kind: "time" },
  lastmodified: { column: "modified_at", kind: "time" },
  "meta.lastmodified": { column: "modified_at", kind: "time" },
};

/** Groups: a group is a scope, its members may hold it. */
export function groupRoutes(app: FastifyInstance, context: UaaContext): void {
  const { db, groups, users } = context;
  const invalid = (why: string) => new UaaServerError("invalid_scim_resource", why);

  async function found(id: string): Promise<GroupRow> {
    const row = await groups.get(id);
    if (!row) throw new UaaServerError("scim_resource_not_found", `Group ${id} does not exist`);
    return row;
  }
  const toScim = (row: GroupRow, members: readonly Member[] | undefined): Record<string, unknown> => ({
    id: row.id,
    meta: { version: row.version, created: new Date(row.created_at).toISOString(), lastModified: new Date(row.modified_at).toISOString() },
    displayName: row.display_name,
    description: row.description,
    zoneId: "uaa",
    ...(members && { members }),
    schemas,
  });

  function readGroup(body: Record<string, unknown>): { displayName: string; description: string } {
    const { displayName, description = "" } = body;
    if (typeof displayName !== "string" || !/^[\w.:*-]{1,255}$/.test(displayName)) throw invalid("displayName must be a scope");
    if (typeof description !== "string" || description.length > 255 || description.includes("\0")) throw invalid("description must be text of at most 255 characters");
    return { displayName, description };
  }

  async function readMember(value: unknown): Promise<Member> {
    const { value: id, type = "USER", origin = "uaa" } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
    if (typeof id !== "string" || id.includes("\0") || (type !== "USER" && type !== "GROUP") || typeof origin !== "string") throw invalid("A member is {value, type, origin}");
    if (!(type === "USER" ? await users.get(id) : await groups.get(id))) throw new UaaServerError("scim_resource_not_found", `Invalid group member: ${id.slice(0, 80)}`);
    return { value: id, type, origin };
  }
  async function readMembers(body: Record<string, unknown>): Promise<Member[] | undefined> {
    const { members } = body;
    if (members === undefined || members === null) return undefined;
    if (!Array.isArray(members) || members.length > 1_000) throw invalid("members must be a list");
    const read: Member[] = [];
    for (const member of members) read.push(await readMember(member));
    return read;
  }

  app.get("/Groups", async (request) => {
    await requireScope(context, request, "scim.read");
    const query = parseSearch(new URLSearchParams(request.url.split("?", 2)[1] ?? ""), columns, "created");
    const { rows, total } = await search(db, "uaa_groups", query, columns);
    const withMembers = query.attributes?.some((name) => name.toLowerCase().startsWith("members")) ?? false;
    const resources: Record<string, unknown>[] = [];
    for (const row of rows) resources.push(pick(toScim(row, withMembers ? await groups.members(row.id) : undefined), query.attributes));
    return listAnswer(resources, query, total);
  });

  app.post("/Groups", async (request, reply) => {
    await requireScope(context, request, "scim.write");
    const body = objectOf(request);
    const { displayName, description } = readGroup(body);
    const members = (await readMembers(body)) ?? [];
    const row = await groups.create(displayName, description);
    for (const member of members) await groups.add(row.id, member);
    return reply.code(201).header("ETag", `"${row.version}"`).send(toScim(row, members));
  });

  app.get<ById>("/Groups/:id", async (request, reply) => {
    await requireScope(context, request, "scim.read");
    const row = await found(request.params.id);
    return reply.header("ETag", `"${row.version}"`).send(toScim(row, await groups.members(row.id)));
  });

  app.put<ById>("/Groups/:id", async (request, reply) => {
    await requireScope(context, request, "scim.write", "groups.update");
    const before = await found(request.params.id);
    const body = objectOf(request);
    if (readGroup(body).displayName.toLowerCase() !== before.display_name.toLowerCase()) throw invalid("A group keeps its name");
    await groups.setMembers(before.id, (await readMembers(body)) ?? []);
    const row = await found(before.id);
    return reply.header("ETag", `"${row.version}"`).send(toScim(row, await groups.members(row.id)));
  });

  app.delete<ById>("/Groups/:id", async (request) => {
    await requireScope(context, request, "scim.write");
    const row = await found(request.params.id);
    const members = await groups.members(row.id);
    await groups.delete(row.id);
    return toScim(row, members);
  });

  app.get<ById>("/Groups/:id/members", async (request) => {
    await requireScope(context, request, "scim.read");
    return groups.members((await found(request.params.id)).id);
  });

  app.post<ById>("/Groups/:id/members", async (request, reply) => {
    await requireScope(context, request, "scim.write", "groups.update");
    const row = await found(request.params.id);
    const member = await readMember(request.body);
    if (!(await groups.add(row.id, member))) throw new UaaServerError("scim_resource_already_exists", `${member.value} is already part of the group: ${row.display_name}`);
    return reply.code(201).send(member);
  });

  app.delete<ByMember>("/Groups/:id/members/:memberId", async (request) => {
    await requireScope(context, request, "scim.write", "groups.update");
    const { id, memberId } = request.params;
    const row = await found(id);
    if (!(await groups.remove(row.id, memberId))) throw new UaaServerError("scim_resource_not_found", `${memberId} is not part of the group`);
    return { value: memberId, type: "USER", origin: "uaa" };
  });
}
