import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { transaction, uniqueViolation } from "../../database.ts";
import type { Access } from "../api/access.ts";
import type { Context, RouteModule, Trx } from "../api/context.ts";
import { badQuery, notAuthorized, notFound, unprocessable } from "../api/errors.ts";
import { accepted, created, type Call } from "../api/http.ts";
import type { Identity } from "../api/ports.ts";
import { links, mergedMetadata, metadataOf, standard } from "../api/present.ts";
import { listValues, type Condition } from "../api/query.ts";
import type { RowOf } from "../data/schema.ts";
import { metadata, shape, Type } from "../api/validate.ts";

type User = RowOf<"users">;

/** Makes the controller know a user; quiet when it does. */
export async function ensureUser(trx: Trx, guid: string): Promise<void> {
  await trx.insertInto("users").values({ guid }).onConflict((conflict) => conflict.doNothing()).execute();
}

/** Users with the names the UAA has for them; whoever it does not know (a client, a removed user) is shown by guid. */
export async function presentUsers({ identities, log }: Pick<Context, "identities" | "log">, rows: readonly User[], base: string): Promise<object[]> {
  const known = new Map<string, Identity>();
  if (rows.length > 0) {
    // Names are decoration here: a UAA that does not answer must not make roles and users unreadable.
    const found = await identities.findByIds(rows.map(({ guid }) => guid)).catch((error: unknown) => {
      log.warn("names of users are missing", { error: String(error) });
      return [];
    });
    for (const identity of found) known.set(identity.guid, identity);
  }
  return rows.map((row) => {
    const identity = known.get(row.guid);
    return {
      ...standard(row),
      username: identity?.username ?? null,
      presentation_name: identity?.username ?? row.guid,
      origin: identity?.origin ?? null,
      ...metadataOf(row),
      links: links(base, { self: `/v3/users/${encodeURIComponent(row.guid)}` }),
    };
  });
}

const userBody = shape({
  guid: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })), username: Type.Optional(Type.String({ minLength: 1 })),
  origin: Type.Optional(Type.String({ minLength: 1 })), metadata: Type.Optional(metadata),
});

export const userRoutes: RouteModule = (api, context) => {
  const { db, identities, jobs } = context;

  /** People of the caller's organizations, and the caller. */
  const visible = ({ readsEverything, organizationGuids, userGuid }: Access): Condition | undefined =>
    readsEverything ? undefined : sql<boolean>`(users.guid = ${userGuid} OR users.guid IN (
      SELECT r.user_guid FROM roles r LEFT JOIN spaces s ON s.guid = r.space_guid
      WHERE coalesce(r.organization_guid, s.organization_guid) = ANY(${[...organizationGuids]})))`;

  /** Parts of names are looked for among the users the controller knows: the UAA is asked for their names. */
  const partlyNamed = async (parts: readonly string[], origins: readonly string[] | undefined): Promise<Identity[]> => {
    const known = await db.selectFrom("users").select("guid").execute();
    const found = await identities.findByIds(known.map(({ guid }) => guid));
    return found.filter(({ username, origin }) => parts.some((part) => username.toLowerCase().includes(part.toLowerCase())) && (!origins || origins.includes(origin)));
  };

  const named = async ({ query }: Call): Promise<Condition | undefined> => {
    const { usernames, partial_usernames: partial, origins } = query;
    if (usernames !== undefined && partial !== undefined) throw badQuery("Only one of 'usernames' and 'partial_usernames' can be provided");
    const names = usernames ?? partial;
    if (names === undefined) {
      if (origins !== undefined) throw badQuery("Origins filter cannot be provided without usernames or partial_usernames filter.");
      return undefined;
    }
    const wanted = origins === undefined ? undefined : listValues(origins);
    const found = partial === undefined ? await identities.findByNames(listValues(names), { origins: wanted }) : await partlyNamed(listValues(partial), wanted);
    return sql<boolean>`users.guid = ANY(${found.map(({ guid }) => guid)})`;
  };

  const userList = (scope: (call: Call) => Promise<(Condition | undefined)[]>) => ({
    table: "users" as const,
    otherKeys: ["usernames", "partial_usernames", "origins"],
    scope: async (call: Call) => [...(await scope(call)), await named(call)],
    present: (rows: readonly User[], { urls }: Call) => presentUsers(context, rows, urls.api),
  });

  api.list("/v3/users", userList(({ access }) => Promise.resolve([visible(access)])));

  api.list("/v3/organizations/:guid/users", userList(async ({ access, guid }) => {
    if (!access.can("organization.read", { organizationGuid: guid }) || !(await db.selectFrom("organizations").select("guid").where("guid", "=", guid).executeTakeFirst())) throw notFound("Organization");
    return [sql<boolean>`users.guid IN (SELECT user_guid FROM roles WHERE organization_guid = ${guid})`];
  }));

  api.list("/v3/spaces/:guid/users", userList(async ({ access, guid }) => {
    const space = await db.selectFrom("spaces").select("organization_guid").where("guid", "=", guid).executeTakeFirst();
    if (!space || !access.can("space.read", { organizationGuid: space.organization_guid, spaceGuid: guid })) throw notFound("Space");
    return [sql<boolean>`users.guid IN (SELECT user_guid FROM roles WHERE space_guid = ${guid})`];
  }));

  api.post("/v3/users", { body: userBody }, async (call) => {
    if (!call.access.isAdmin) throw notAuthorized();
    const { guid, username, origin, metadata: patch } = call.body;
    if ((guid === undefined) === (username === undefined)) throw unprocessable("Either a guid, or a username and an origin must be given");
    let userGuid = guid;
    if (username !== undefined) {
      if (origin === undefined) throw unprocessable("Origin can only be omitted together with the username");
      if (origin === "uaa") throw unprocessable("Origin cannot be 'uaa' when username is provided");
      const [known] = await identities.findByNames([username], { origins: [origin] });
      userGuid = known?.guid ?? (await identities.create?.({ username, origin }))?.guid;
      if (userGuid === undefined) throw unprocessable(`No user exists with the username '${username}' and origin '${origin}', and none can be made.`);
    }
    const row = await transaction(db, (trx) => trx.insertInto("users").values({ guid: userGuid ?? randomUUID(), ...mergedMetadata(patch) }).returningAll().executeTakeFirstOrThrow())
      .catch((error: unknown) => {
        throw uniqueViolation(error) === undefined ? error
          : unprocessable(username === undefined ? `User with guid '${userGuid ?? ""}' already exists.` : `User with username '${username}' and origin '${origin ?? ""}' already exists.`);
      });
    return created((await presentUsers(context, [row], call.urls.api))[0] as object);
  });

  const find = async ({ access, guid }: Call): Promise<User> => {
    const row = await db.selectFrom("users").selectAll().where("guid", "=", guid).where(visible(access) ?? sql<boolean>`true`).executeTakeFirst();
    if (!row) throw notFound("User");
    return row;
  };

  api.get("/v3/users/:guid", async (call) => (await presentUsers(context, [await find(call)], call.urls.api))[0]);

  api.patch("/v3/users/:guid", { body: shape({ metadata: Type.Optional(metadata) }) }, async (call) => {
    const row = await find(call);
    if (!call.access.isAdmin) throw notAuthorized();
    const changed = await db.updateTable("users").set({ ...mergedMetadata(call.body.metadata, row), updated_at: new Date() }).where("guid", "=", row.guid).returningAll().executeTakeFirstOrThrow();
    return (await presentUsers(context, [changed], call.urls.api))[0];
  });

  api.delete("/v3/users/:guid", async (call) => {
    const row = await find(call);
    if (!call.access.isAdmin) throw notAuthorized();
    const job = await jobs.run({ operation: "user.delete", work: async () => void (await db.deleteFrom("users").where("guid", "=", row.guid).execute()) });
    return accepted(call, job);
  });
};
