/** What several parts must agree on. */

/** What its parts tell of themselves; the version in package.json. */
export const platformVersion = "0.1.0";

/** The only stack there is yet: this machine's own file system under the name that clients expect. */
export const defaultStack = "cflinuxfs4";

/** `iss` of the tokens: a name, the same whichever door a client came through. */
export const issuerOf = (domain: string): string => `http://uaa.${domain}`;

/** UAA client of the controller, for looking up names of users. */
export const controllerClientId = "cloud_controller";

export const adminUser = "admin";
