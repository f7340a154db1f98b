/** Steps of the UAA's part of the database, for the migration runner. */
export const uaaMigrations = [
  {
    version: 1,
    name: "users, groups, clients, tokens, keys",
    sql: `
create table uaa_keys (
  kid text primary key, algorithm text not null, private_key text not null, public_key text not null,
  created_at bigint not null, active_from bigint not null, retired_at bigint);

create table uaa_users (
  id text primary key, origin text not null, user_name text not null, user_name_key text not null, external_id text,
  given_name text, family_name text, email text not null, emails_json text not null, phone_numbers_json text not null,
  active boolean not null, verified boolean not null, password_hash text, seed_hash text,
  password_changed_at bigint not null, password_change_required boolean not null, token_salt text not null,
  version integer not null, created_at bigint not null, modified_at bigint not null,
  last_logon_at bigint, previous_logon_at bigint,
  unique (user_name_key, origin));
create index uaa_users_created on uaa_users (created_at, id);

create table uaa_groups (
  id text primary key, display_name text not null, description text not null, version integer not null,
  created_at bigint not null, modified_at bigint not null);
create unique index uaa_groups_name on uaa_groups (lower(display_name));

create table uaa_memberships (
  group_id text not null references uaa_groups (id) on delete cascade, member_id text not null,
  member_type text not null, origin text not null, primary key (group_id, member_id));
create index uaa_memberships_member on uaa_memberships (member_id);

create table uaa_clients (
  client_id text primary key, secrets_json text not null, scope text not null, authorities text not null,
  grant_types text not null, redirect_uris text not null, autoapprove text not null, name text not null,
  access_validity_s integer, refresh_validity_s integer, required_user_groups text not null,
  allow_public boolean not null, token_salt text not null, modified_at bigint not null);

create table uaa_families (
  id text primary key, client_id text not null references uaa_clients (client_id) on delete cascade,
  user_id text references uaa_users (id) on delete cascade, grant_type text not null, scope text not null,
  auth_time bigint not null, created_at bigint not null);
create index uaa_families_user on uaa_families (user_id);
create index uaa_families_client on uaa_families (client_id);

create table uaa_tokens (
  id text primary key, kind text not null, family_id text not null references uaa_families (id) on delete cascade,
  scope text not null, issued_at bigint not null, expires_at bigint not null, used_at bigint);
create index uaa_tokens_family on uaa_tokens (family_id);
create index uaa_tokens_expiry on uaa_tokens (expires_at);

create table uaa_codes (
  id text primary key, client_id text not null, user_id text not null references uaa_users (id) on delete cascade,
  redirect_uri text, scope text not null, challenge text, auth_time bigint not null, expires_at bigint not null);

create table uaa_attempts (
  subject text not null, source text not null, failures integer not null, window_at bigint not null,
  locked_until bigint not null, succeeded_at bigint, primary key (subject, source));
`,
  },
];
