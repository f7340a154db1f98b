import type { Kysely, Transaction } from "kysely";

/** Times are milliseconds since the epoch; lists are words separated by spaces unless named as JSON. */
export interface UaaTables {
  uaa_keys: KeyRow;
  uaa_users: UserRow;
  uaa_groups: GroupRow;
  uaa_memberships: MembershipRow;
  uaa_clients: ClientRow;
  uaa_families: FamilyRow;
  uaa_tokens: TokenRow;
  uaa_codes: CodeRow;
  uaa_attempts: AttemptRow;
}

export type UaaDatabase = Kysely<UaaTables>;
export type UaaTransaction = Transaction<UaaTables>;

export interface KeyRow {
  kid: string;
  algorithm: string;
  /** PKCS 8, PEM. */
  private_key: string;
  /** SPKI, PEM. */
  public_key: string;
  created_at: number;
  /** Published before, signing from then on. */
  active_from: number;
  /** Not published from then on. */
  retired_at: number | null;
}

export interface UserRow {
  id: string;
  origin: string;
  user_name: string;
  /** Lower case: names are compared without case. */
  user_name_key: string;
  external_id: string | null;
  given_name: string | null;
  family_name: string | null;
  /** The primary address. */
  email: string;
  emails_json: string;
  phone_numbers_json: string;
  active: boolean;
  verified: boolean;
  password_hash: string | null;
  /** The hash of the password that the configuration last set; null for everybody else. */
  seed_hash: string | null;
  password_changed_at: number;
  password_change_required: boolean;
  /** In every token of this user; changing it voids them all. */
  token_salt: string;
  version: number;
  created_at: number;
  modified_at: number;
  last_logon_at: number | null;
  previous_logon_at: number | null;
}

export interface GroupRow {
  id: string;
  display_name: string;
  description: string;
  version: number;
  created_at: number;
  modified_at: number;
}

export interface MembershipRow {
  group_id: string;
  member_id: string;
  member_type: "USER" | "GROUP";
  origin: string;
}

export interface ClientRow {
  client_id: string;
  /** JSON list of hashes: a client may hold two during a change. Empty: the configuration knows the secret. */
  secrets_json: string;
  scope: string;
  authorities: string;
  grant_types: string;
  redirect_uris: string;
  /** `true`, or scopes. */
  autoapprove: string;
  name: string;
  access_validity_s: number | null;
  refresh_validity_s: number | null;
  required_user_groups: string;
  allow_public: boolean;
  token_salt: string;
  modified_at: number;
}

/** What came out of one login; everything in it is revoked together. */
export interface FamilyRow {
  id: string;
  client_id: string;
  user_id: string | null;
  grant_type: string;
  scope: string;
  auth_time: number;
  created_at: number;
}

export interface TokenRow {
  /** Access: the `jti`. Refresh: the SHA-256 of the value, so that the table gives nobody a token. */
  id: string;
  kind: "access" | "refresh";
  family_id: string;
  scope: string;
  issued_at: number;
  expires_at: number;
  /** Refresh: when it was first exchanged. */
  used_at: number | null;
}

export interface CodeRow {
  id: string;
  client_id: string;
  user_id: string;
  redirect_uri: string | null;
  scope: string;
  challenge: string | null;
  auth_time: number;
  expires_at: number;
}

/** Failed logins of a name from one address, or (`source` = `*`) from all addresses that it never logged in from. */
export interface AttemptRow {
  subject: string;
  source: string;
  failures: number;
  window_at: number;
  locked_until: number;
  succeeded_at: number | null;
}
