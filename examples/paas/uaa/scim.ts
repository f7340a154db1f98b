import { UaaServerError } from "./errors.ts";
import type { FilterColumns } from "./filter-sql.ts";
import type { UserRow } from "./schema.ts";
import type { GroupOfUser, UserDraft } from "./users.ts";

export const schemas = ["urn:scim:schemas:core:1.0"];
const time = (ms: number) => new Date(ms).toISOString();
const invalid = (why: string) => new UaaServerError("invalid_scim_resource", why);

/** Attributes of users that filters and `sortBy` may name. */
export const userColumns: FilterColumns = {
  id: { column: "id", kind: "exact" },
  username: { column: "user_name_key", kind: "folded" },
  origin: { column: "origin", kind: "exact" },
  externalid: { column: "external_id", kind: "exact" },
  email: { column: "email", kind: "text" },
  emails: { column: "email", kind: "text" },
  "emails.value": { column: "email", kind: "text" },
  "name.givenname": { column: "given_name", kind: "text" },
  givenname: { column: "given_name", kind: "text" },
  "name.familyname": { column: "family_name", kind: "text" },
  familyname: { column: "family_name", kind: "text" },
  active: { column: "active", kind: "boolean" },
  verified: { column: "verified", kind: "boolean" },
  created: { column: "created_at", kind: "time" },
  "meta.created": { column: "created_at", kind: "time" },
  lastmodified: { column: "modified_at", kind: "time" },
  "meta.lastmodified": { column: "modified_at", kind: "time" },
};

/** A user as the API shows it. The password never is. */
export function userToScim(row: UserRow, groups: readonly GroupOfUser[] | undefined): Record<string, unknown> {
  const phones = JSON.parse(row.phone_numbers_json) as unknown[];
  return {
    id: row.id,
    ...(row.external_id !== null && { externalId: row.external_id }),
    meta: { version: row.version, created: time(row.created_at), lastModified: time(row.modified_at) },
    userName: row.user_name,
    name: { ...(row.family_name !== null && { familyName: row.family_name }), ...(row.given_name !== null && { givenName: row.given_name }) },
    emails: JSON.parse(row.emails_json) as unknown,
    ...(groups && { groups: groups.map(({ id, displayName, type }) => ({ value: id, display: displayName, type })), approvals: [] }),
    phoneNumbers: phones,
    active: row.active,
    verified: row.verified,
    origin: row.origin,
    zoneId: "uaa",
    passwordLastModified: time(row.password_changed_at),
    ...(row.last_logon_at !== null && { lastLogonTime: row.last_logon_at }),
    ...(row.previous_logon_at !== null && { previousLogonTime: row.previous_logon_at }),
    schemas,
  };
}

/** Keeps only the attributes that were asked for. */
export function pick(resource: Record<string, unknown>, attributes: readonly string[] | undefined): Record<string, unknown> {
  if (!attributes) return resource;
  const wanted = new Set(attributes.map((name) => name.toLowerCase().split(".")[0]));
  return Object.fromEntries(Object.entries(resource).filter(([name]) => wanted.has(name.toLowerCase())));
}

/**
 * Reads a user as a client sends it. What is missing comes from `before` (PATCH), else from the defaults.
 * An e-mail need not be an address: the command line sends the user's name.
 * @throws UaaServerError invalid_scim_resource
 */
export function scimToUser(body: Record<string, unknown>, before?: UserRow): { draft: UserDraft; password: string | undefined } {
  const field = (object: Record<string, unknown>, name: string): unknown => {
    const key = Object.keys(object).find((one) => one.toLowerCase() === name.toLowerCase());
    return key === undefined || object[key] === null ? undefined : object[key];
  };
  const text = (value: unknown, name: string): string | undefined => {
    if (value === undefined) return undefined;
    if (typeof value !== "string" || value.length > 255 || /[\u0000-\u001f\u007f]/.test(value)) throw invalid(`${name} must be text of at most 255 characters`);
    return value;
  };
  const flag = (value: unknown, name: string, otherwise: boolean): boolean => {
    if (value === undefined) return otherwise;
    if (typeof value !== "boolean") throw invalid(`${name} must be true or false`);
    return value;
  };
  const list = (value: unknown, name: string): Record<string, unknown>[] | undefined => {
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || value.length > 20 || value.some((one) => typeof one !== "object" || one === null)) throw invalid(`${name} must be a list of objects`);
    return value as Record<string, unknown>[];
  };

  const userName = (text(field(body, "userName"), "userName") ?? before?.user_name ?? "").trim();
  if (userName === "") throw invalid("A username must be provided.");
  const name = field(body, "name");
  if (name !== undefined && (typeof name !== "object" || name === null)) throw invalid("name must be an object");
  const names = (name ?? {}) as Record<string, unknown>;
  const emails = list(field(body, "emails"), "emails")?.map((email) => ({
    value: text(field(email, "value"), "emails.value") ?? "",
    primary: flag(field(email, "primary"), "emails.primary", false),
    ...(field(email, "type") !== undefined && { type: text(field(email, "type"), "emails.type") }),
  }));
  const known = before ? (JSON.parse(before.emails_json) as UserDraft["emails"]) : [{ value: userName, primary: true }];
  const chosen = emails && emails.length > 0 ? emails : known;
  if (chosen.some(({ value }) => value === "")) throw invalid("An email must not be empty.");
  const phones = list(field(body, "phoneNumbers"), "phoneNumbers")?.map((phone) => ({ value: text(field(phone, "value"), "phoneNumbers.value") ?? "" }));
  const password = field(body, "password");
  if (password !== undefined && typeof password !== "string") throw invalid("password must be text");
  return {
    password,
    draft: {
      userName,
      origin: text(field(body, "origin"), "origin") || before?.origin || "uaa",
      externalId: text(field(body, "externalId"), "externalId") ?? before?.external_id ?? undefined,
      givenName: text(field(names, "givenName"), "name.givenName") ?? before?.given_name ?? undefined,
      familyName: text(field(names, "familyName"), "name.familyName") ?? before?.family_name ?? undefined,
      emails: chosen,
      phoneNumbers: phones ?? (before ? (JSON.parse(before.phone_numbers_json) as UserDraft["phoneNumbers"]) : []),
      active: flag(field(body, "active"), "active", before?.active ?? true),
      verified: flag(field(body, "verified"), "verified", before?.verified ?? true),
    },
  };
}

export interface PasswordPolicy {
  /** Default 1. */
  minLength: number;
  /** Default 255. */
  maxLength: number;
}

/** @throws UaaServerError invalid_password */
export function checkPassword(password: string, { minLength, maxLength }: PasswordPolicy = { minLength: 1, maxLength: 255 }): string {
  if (password.length < minLength) throw new UaaServerError("invalid_password", `Password must be at least ${minLength} characters in length.`);
  if (password.length > maxLength) throw new UaaServerError("invalid_password", `Password must be no more than ${maxLength} characters in length.`);
  return password;
}
