import { sql } from "kysely";
import type { Permission } from "../api/access.ts";
import { demandApp, demandPart } from "./app-access.ts";
import type { AppParts, PlacedApp, ProcessRow } from "./app-parts.ts";
import { hiddenData, hiddenInLists, presentProcess, presentSidecar } from "./app-present.ts";
import { isPlain } from "../api/checks.ts";
import { badQuery, notFound, unprocessable } from "../api/errors.ts";
import type { FeatureFlags } from "../api/flags.ts";
import { acceptedBody, noContent, type Api, type Call } from "../api/http.ts";
import { links, type MetadataPatch } from "../api/present.ts";
import { scaleProcess, terminateInstance, updateProcess } from "./process-actions.ts";
import { readProcessPatch, readScale } from "./process-rules.ts";
import { anyOf, where } from "../api/query.ts";
import { presentInstances, presentStats } from "./stats.ts";

/** How long after a change a process counts as being started, and how long a question about it is held. */
const justStartedMs = 30_000;
const maxHoldMs = 1_500;

interface FoundProcess {
  process: ProcessRow;
  found: PlacedApp;
}

/** `/v3/processes` and `/v3/apps/:guid/processes`: every route exists under both addresses. */
export function processRoutes(api: Api, parts: AppParts, flags: FeatureFlags): void {
  const { db, runtime, clock } = parts;
  const filters = {
    types: anyOf("processes.type"),
    app_guids: anyOf("processes.app_guid"),
    space_guids: where((guids) => sql`processes.app_guid IN (SELECT guid FROM apps WHERE space_guid = ANY(${guids}))`),
    organization_guids: where((guids) => sql`processes.app_guid IN (SELECT apps.guid FROM apps JOIN spaces ON spaces.guid = apps.space_guid WHERE spaces.organization_guid = ANY(${guids}))`),
  };

  async function presentAll(rows: readonly ProcessRow[], call: Call): Promise<object[]> {
    const embeds = embedsInstances(call);
    const appGuids = [...new Set(rows.map((row) => row.app_guid))];
    const apps = new Map(appGuids.length === 0 ? [] : (await db.selectFrom("apps").select(["guid", "space_guid", "state"]).where("guid", "in", appGuids).execute()).map((app) => [app.guid, app]));
    return rows.map((row) => {
      const app = apps.get(row.app_guid);
      const instances = embeds ? presentInstances(row, runtime.instances(row.guid), { started: app?.state === "STARTED", now: clock.now() }) : undefined;
      return presentProcess(row, { spaceGuid: app?.space_guid ?? "", hide: hiddenInLists, ...(instances && { instances }) }, call.urls.api);
    });
  }

  const visible = (call: Call) => call.access.visible("app.read", { space: sql`(SELECT space_guid FROM apps WHERE apps.guid = processes.app_guid)` });
  api.list("/v3/processes", { table: "processes", filters, otherKeys: ["embed"], scope: (call) => [visible(call)], present: presentAll });
  api.list("/v3/apps/:guid/processes", {
    table: "processes",
    filters: { types: filters.types },
    otherKeys: ["embed"],
    scope: async (call) => {
      await demandApp(db, call, call.guid);
      return [sql<boolean>`processes.app_guid = ${call.guid}`];
    },
    present: presentAll,
  });

  /**
   * Holds a question about a process that was started a moment ago until one of its instances runs or has crashed:
   * clients that wait for a start come back only after three seconds.
   */
  async function untilDecided({ guid, version, instances, updated_at }: ProcessRow, signal: AbortSignal): Promise<void> {
    const until = clock.now() + Math.min(parts.limits.longPollMs, maxHoldMs);
    if (instances === 0 || clock.now() - updated_at.getTime() > justStartedMs) return;
    const undecided = () => runtime.instances(guid).every((instance) => instance.version !== version || instance.state === "STARTING" || instance.state === "STOPPING");
    while (!signal.aborted && clock.now() < until && undecided()) await new Promise((go) => setTimeout(go, 50));
  }

  async function presentOne({ process, found }: FoundProcess, call: Call): Promise<object> {
    const secrets = call.access.can("app.secrets.read", found.place);
    const dropletGuid = process.droplet_guid ?? found.app.current_droplet_guid;
    const droplet = process.command === null && dropletGuid !== null && secrets
      ? await db.selectFrom("droplets").select("process_types").where("guid", "=", dropletGuid).executeTakeFirst()
      : undefined;
    const instances = embedsInstances(call) ? presentInstances(process, runtime.instances(process.guid), { started: found.app.state === "STARTED", now: clock.now() }) : undefined;
    return presentProcess(process, {
      spaceGuid: found.app.space_guid, detectedCommand: droplet?.process_types[process.type] ?? null,
      ...(!secrets && { hide: hiddenData }), ...(instances && { instances }),
    }, call.urls.api);
  }

  const byGuid = async (call: Call, write?: Permission): Promise<FoundProcess> => {
    const { row, found } = await demandPart(db, call, { row: await db.selectFrom("processes").selectAll().where("guid", "=", call.guid).executeTakeFirst(), type: "Process", write });
    return { process: row, found };
  };
  /** The newest process of the type: during a deployment there are two. */
  const byType = async (call: Call, write?: Permission): Promise<FoundProcess> => {
    const found = await demandApp(db, call, call.guid, { write });
    const process = await db.selectFrom("processes").selectAll().where("app_guid", "=", call.guid).where("type", "=", call.param("type")).orderBy("id", "desc").executeTakeFirst();
    if (!process) throw notFound("Process");
    return { process, found };
  };

  for (const [address, find] of [["/v3/processes/:guid", byGuid], ["/v3/apps/:guid/processes/:type", byType]] as const) {
    api.get(address, { query: ["embed"] }, async (call) => presentOne(await find(call), call));

    api.patch(address, async (call) => {
      const { patch, problems } = readProcessPatch(call.body);
      if (problems.length > 0) throw unprocessable(problems.join(", "));
      const { process, found } = await find(call, "app.operate");
      const metadata = isPlain(call.body) ? (call.body["metadata"] as MetadataPatch | undefined) : undefined;
      return presentOne({ process: await updateProcess(parts, process, patch, { actor: call.actor, metadata }), found }, call);
    });

    api.post(`${address}/actions/scale`, async (call) => {
      await flags.require("app_scaling", call.access);
      const { process, found } = await find(call, "app.operate");
      const { change, problems } = readScale(call.body);
      if (problems.length > 0) throw unprocessable(problems.join(", "));
      return acceptedBody(await presentOne({ process: await scaleProcess(parts, process, change, { actor: call.actor }), found }, call));
    });

    api.get(`${address}/stats`, { query: "any" }, async (call) => {
      const { process, found } = await find(call);
      const started = found.app.state === "STARTED";
      if (started) await untilDecided(process, call.signal);
      const stats = started ? await runtime.stats(process.guid, { signal: call.signal }) : [];
      return { resources: presentStats(process, stats, { started, now: clock.now() }) };
    });

    api.get(`${address}/process_instances`, { query: "any" }, async (call) => {
      const { process, found } = await find(call);
      const at = `/v3/processes/${process.guid}`;
      return {
        resources: presentInstances(process, runtime.instances(process.guid), { started: found.app.state === "STARTED", now: clock.now() }),
        links: links(call.urls.api, { self: `${at}/process_instances`, process: at }),
      };
    });

    api.delete(`${address}/instances/:index`, async (call) => {
      const { process } = await find(call, "app.operate");
      await terminateInstance(parts, process, /^\d{1,9}$/.test(call.param("index")) ? Number(call.param("index")) : -1, call.actor);
      return noContent();
    });
  }

  api.list("/v3/processes/:guid/sidecars", {
    table: "sidecars",
    labels: false,
    scope: async (call) => {
      const { process } = await byGuid(call);
      return [sql<boolean>`sidecars.app_guid = ${process.app_guid}`, sql<boolean>`jsonb_exists(sidecars.process_types, ${process.type})`];
    },
    present: (rows) => rows.map(presentSidecar),
  });
}

function embedsInstances(call: Call): boolean {
  const { embed } = call.query;
  if (embed === undefined) return false;
  if (embed !== "process_instances") throw badQuery(`Invalid embedded resource: '${embed}'. Valid embedded resources are: 'process_instances'`);
  return true;
}
