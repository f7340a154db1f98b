import type { UaaContext } from "./context.ts";
import { accountLocked, badCredentials, UaaServerError } from "./errors.ts";
import type { LockoutName } from "./lockout.ts";
import type { UserRow } from "./schema.ts";

const maxPasswordLength = 1_000;

/**
 * Finds out whether somebody is who they say. Takes as long for names that nobody has, and counts failures for those too.
 * @throws UaaServerError unauthorized: "Bad credentials", or the text of a locked account
 */
export async function loginWithPassword(context: UaaContext, name: LockoutName, password: string, address: string): Promise<UserRow> {
  const { users, lockout, kdf, logger } = context;
  const { userName, origin } = name;
  if (await lockout.locked(name, address)) throw accountLocked();
  const user = await users.findByName(userName, origin);
  const right = (await kdf.verify(password.slice(0, maxPasswordLength), user?.password_hash, address)) && password.length <= maxPasswordLength;
  // Others may have failed while this one waited for its turn: a burst must not get more tries than the limit.
  if (await lockout.locked(name, address)) throw accountLocked();
  if (!right || !user?.active) {
    if ((await lockout.failed(name, address)) === "locked") throw accountLocked();
    logger.info("uaa.login-failed", { userId: user?.id, origin, address });
    throw badCredentials();
  }
  await lockout.succeeded(name, address);
  if (user.password_change_required) throw new UaaServerError("unauthorized", "User password needs to be changed");
  if (user.password_hash !== null && kdf.outdated(user.password_hash)) await users.rehash(user.id, await kdf.hash(password));
  await users.loggedOn(user.id);
  logger.info("uaa.login", { userId: user.id, origin, address });
  return user;
}
