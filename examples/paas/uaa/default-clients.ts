import { randomBytes } from "node:crypto";
import type { ClientSeed } from "./clients.ts";

/** The command line: everybody may be it, so all its rights are those of the user. */
export const cfClient: ClientSeed = {
  id: "cf",
  secret: "",
  grantTypes: ["password", "refresh_token"],
  scope: [
    "cloud_controller.read", "cloud_controller.write", "cloud_controller.admin", "cloud_controller.admin_read_only", "cloud_controller.global_auditor",
    "openid", "password.write", "scim.read", "scim.write", "scim.me", "scim.userids", "uaa.user", "clients.read", "doppler.firehose", "logs.admin",
    "network.admin", "network.write", "routing.router_groups.read", "routing.router_groups.write", "routing.routes.read", "routing.routes.write",
  ],
  authorities: ["uaa.none"],
  autoapprove: true,
  accessValidityS: 600,
  refreshValidityS: 2_592_000,
};

export interface PlatformClientSecrets {
  /** The controller's own client, `cloud_controller`. */
  controllerSecret: string;
  /** For administration by scripts, client `admin`. Default: no such client. */
  adminSecret?: string | undefined;
  /** The client `ssh-proxy`, which exchanges one-time codes. Default: a random one, so users get codes and nobody can exchange them. */
  sshProxySecret?: string | undefined;
}

/** The clients that a platform of ours needs. */
export function platformClients({ controllerSecret, adminSecret, sshProxySecret }: PlatformClientSecrets): ClientSeed[] {
  const clients: ClientSeed[] = [
    cfClient,
    {
      id: "cloud_controller",
      secret: controllerSecret,
      grantTypes: ["client_credentials"],
      authorities: ["scim.userids", "scim.read", "scim.write", "uaa.resource", "clients.read"],
    },
    {
      id: "ssh-proxy",
      secret: sshProxySecret ?? randomBytes(24).toString("base64url"),
      grantTypes: ["authorization_code"],
      scope: ["openid", "cloud_controller.read", "cloud_controller.write", "cloud_controller.admin"],
      redirectUris: ["/login"],
      autoapprove: true,
    },
  ];
  if (adminSecret)
    clients.push({
      id: "admin",
      secret: adminSecret,
      grantTypes: ["client_credentials"],
      authorities: ["uaa.admin", "clients.admin", "clients.read", "clients.write", "clients.secret", "scim.read", "scim.write", "password.write", "tokens.revoke", "tokens.list", "uaa.resource", "cloud_controller.admin"],
    });
  return clients;
}
