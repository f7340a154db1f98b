import type { AddressInfo } from "node:net";
import type { Kysely } from "kysely";
import { migrate } from "../database.ts";
import { createApp } from "./app.ts";
import { createClients, type ClientSeed } from "./clients.ts";
import type { HeaderBag, UaaContext } from "./context.ts";
import { cfClient } from "./default-clients.ts";
import { createGroups } from "./groups.ts";
import { createKdf, type KdfCost } from "./kdf.ts";
import { createKeyring, type Keyring } from "./keyring.ts";
import { createLockout, defaultLockout, type LockoutPolicy } from "./lockout.ts";
import { uaaMigrations } from "./migrations.ts";
import { silentLogger, systemClock, type Clock, type Logger } from "./ports.ts";
import type { UaaDatabase } from "./schema.ts";
import { adminGroups, defaultGroups } from "./scopes.ts";
import { createTokens, type Tokens } from "./tokens.ts";
import { createUsers } from "./users.ts";
import { createVerify } from "./verify.ts";

export interface UaaOptions {
  /** The database that other parts may share; our tables are made in it. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever else is in it is not our affair
  db: Kysely<any>;
  /** Where tokens say they come from, without `/oauth/token`: `http://uaa.example.org`. Must not change while tokens live. */
  issuer: string;
  /** The public addresses in the form in which a request came. Default: the issuer, always. */
  publicUrls?: (headers: HeaderBag) => { uaa: string; login: string };
  /** Exists from the start, with all rights. Changing the password here changes it there; a change by the user stays. */
  admin: { username: string; password: string };
  /** Clients of the platform (see `platformClients`). The command line's `cf` is always there. */
  clients?: readonly ClientSeed[];
  /** Default `127.0.0.1`. */
  host?: string;
  /** Default 0: a free one. */
  port?: number;
  /** Proxies in front that can be believed about where a request came from. Default 1: the router. */
  trustedHops?: number;
  /** Default 30 000 ms; see `createTokens`. */
  refreshGraceMs?: number;
  /** Cost of hashing passwords; see `createKdf`. */
  passwordCost?: KdfCost;
  lockout?: Partial<LockoutPolicy>;
  logger?: Logger;
  clock?: Clock;
}

export interface Uaa extends AsyncDisposable {
  host: string;
  port: number;
  /** `http://host:port` */
  url: string;
  /** Resolves when the administrator exists; logins wait for it by themselves. */
  readonly ready: Promise<void>;
  readonly keyring: Keyring;
  readonly tokens: Tokens;
}

const pruneEveryMs = 600_000;

/** Starts a UAA: makes or updates its tables, key, clients and administrator, and listens. */
export async function startUaa(options: UaaOptions): Promise<Uaa> {
  const { db, issuer, publicUrls = () => ({ uaa: issuer, login: issuer }), admin, clients: seeds = [], host = "127.0.0.1", port = 0, trustedHops = 1, refreshGraceMs, passwordCost, lockout: policy, logger = silentLogger, clock = systemClock } = options;
  await migrate(db as Kysely<object>, "uaa", uaaMigrations);
  const own = db as UaaDatabase;
  const kdf = createKdf(passwordCost);
  const keyring = createKeyring(own, { clock });
  const users = createUsers(own, { clock });
  const groups = createGroups(own, { clock });
  const clients = createClients({ db: own, kdf, clock, seeds: seeds.some(({ id }) => id === cfClient.id) ? seeds : [cfClient, ...seeds] });
  const tokens = createTokens({ db: own, keyring, users, issuer, clock, logger, ...(refreshGraceMs !== undefined && { refreshGraceMs }) });
  const verify = createVerify({ keyring, tokens, clients, users, issuer, clock });
  const lockout = createLockout(own, { clock, policy: { ...defaultLockout, ...policy } });

  async function bootstrapAdmin(): Promise<void> {
    const found = await users.findByName(admin.username, "uaa");
    // Compared with what the configuration said last time: the user may have changed the password since, and that stays.
    const same = found?.seed_hash != null && (await kdf.verify(admin.password, found.seed_hash));
    let id = found?.id;
    if (!same) {
      const hash = await kdf.hash(admin.password);
      if (found) await users.setPassword(found.id, hash, hash);
      else {
        const draft = {
          userName: admin.username, origin: "uaa", externalId: undefined, givenName: undefined, familyName: undefined,
          emails: [{ value: admin.username, primary: true }], phoneNumbers: [], active: true, verified: true,
        };
        // Another process may be doing the same.
        const made = await users.create(draft, hash, hash).catch(() => undefined);
        id = (made ?? (await users.findByName(admin.username, "uaa")))?.id;
      }
      logger.info(found ? "uaa.admin-updated" : "uaa.admin-created", { userId: id });
    }
    await groups.ensure([...adminGroups, ...defaultGroups, "cloud_controller.admin_read_only", "cloud_controller.global_auditor", "network.write"]);
    if (id !== undefined) await groups.ensure(adminGroups, id);
  }

  await Promise.all([keyring.active(), clients.sync()]);
  // Hashing takes a while; only logins need it done.
  const ready = bootstrapAdmin();
  ready.catch((error: Error) => logger.error("uaa.admin-failed", { cause: error.message }));

  const prune = () => Promise.all([tokens.prune(), lockout.prune()]).catch((error: Error) => logger.warn("uaa.prune-failed", { cause: error.message }));
  const timer = setInterval(() => void prune(), pruneEveryMs);
  timer.unref();

  const context: UaaContext = { db: own, users, groups, clients, tokens, keyring, verify, lockout, kdf, issuer, publicUrls, ready, logger, clock };
  const app = createApp(context, { trustedHops });
  await app.listen({ host, port });
  const bound = (app.server.address() as AddressInfo).port;
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    clearInterval(timer);
    await app.close();
    // The database may be closed next.
    await ready.catch(() => {});
  };
  return {
    host,
    port: bound,
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    ready,
    keyring,
    tokens,
    [Symbol.asyncDispose]: () => (closing ??= close()),
  };
}
