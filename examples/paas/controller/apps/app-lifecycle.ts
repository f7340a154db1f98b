import type { Trx } from "./app-parts.ts";
import { CfError, unprocessable } from "../api/errors.ts";
import { readLifecycle, unknownBuildpacks, type Lifecycle, type LifecycleChange } from "./lifecycle.ts";

/** The stack of apps that name none. */
export async function defaultStack(db: Trx): Promise<string | null> {
  const row = await db.selectFrom("stacks").select("name").orderBy("is_default", "desc").orderBy("id").limit(1).executeTakeFirst();
  return row?.name ?? null;
}

/**
 * The lifecycle an app or build gets: what the request says, else what was there, else the defaults.
 * @throws CfError for a kind that does not run here, an unknown stack or buildpack
 */
export async function decideLifecycle(db: Trx, given: unknown, current?: Lifecycle): Promise<Lifecycle> {
  if (given === undefined) return current ?? { type: "buildpack", buildpacks: [], stack: await defaultStack(db) };
  const { change, problems } = readLifecycle(given);
  if (problems.length > 0) throw unprocessable(problems.join(", "));
  return changedLifecycle(db, change, current);
}

/** The same for a change that was read already. */
export async function changedLifecycle(db: Trx, change: LifecycleChange, current?: Lifecycle): Promise<Lifecycle> {
  const type = change.type ?? current?.type ?? "buildpack";
  if (current && type !== current.type) throw unprocessable(`Lifecycle type cannot be changed from ${current.type} to ${type}`);
  if (type !== "buildpack") throw new CfError("FeatureDisabled", `Feature Disabled: diego_${type}`);
  const stack = change.stack ?? current?.stack ?? (await defaultStack(db));
  if (change.stack) {
    const known = await db.selectFrom("stacks").select("state").where("name", "=", change.stack).executeTakeFirst();
    if (!known) throw unprocessable("Stack must be an existing stack");
  }
  if (change.buildpacks && change.buildpacks.length > 0) {
    const rows = await db.selectFrom("buildpacks").select("name").where("name", "in", change.buildpacks).where("lifecycle", "=", type).execute();
    const text = unknownBuildpacks(change.buildpacks, new Set(rows.map(({ name }) => name)));
    if (text !== undefined) throw unprocessable(text);
  }
  return { type, buildpacks: change.buildpacks ?? current?.buildpacks ?? [], stack };
}

interface StackState {
  /** True for an app that was never built: those may not use a stack that is on its way out. */
  firstBuild: boolean;
}

/** Warnings about a stack that is being phased out. @throws CfError when it may not be used any more */
export async function stackWarnings(db: Trx, stack: string | null, { firstBuild }: StackState): Promise<string[]> {
  if (stack === null) return [];
  const row = await db.selectFrom("stacks").select(["state", "state_reason"]).where("name", "=", stack).executeTakeFirst();
  const reason = row?.state_reason ? ` ${row.state_reason}` : "";
  if (row?.state === "DISABLED") throw unprocessable(`Stack '${stack}' is disabled and cannot be used for staging.${reason}`);
  if (row?.state === "RESTRICTED" && firstBuild) throw unprocessable(`Stack '${stack}' is restricted and cannot be used for staging new applications.${reason}`);
  if (row?.state === "DEPRECATED" || row?.state === "RESTRICTED") return [`Stack '${stack}' is ${row.state.toLowerCase()}.${reason} Move to another one.`];
  return [];
}
