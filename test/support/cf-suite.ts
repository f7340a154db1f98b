import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findProgram } from "../../scripts/lib/components.mjs";
import { nodeApp, staticApp, writeTree } from "./apps.ts";
import { zipFolder } from "./cf-client.ts";
import { ask, nobody } from "./http.ts";
import { startPlatform, type Platform } from "./platform.ts";
import { run, type Ran, type RunOptions } from "./run.ts";
import { tempFolder } from "./temp.ts";
import { until } from "./until.ts";

/** Drives the platform with the real command line of Cloud Foundry, as a user does; skipped where it is not installed. */
export function cfSuite(program: string, { args = [] }: { args?: readonly string[] } = {}): void {
  const found = findProgram(program);
  describe.skipIf(!found)(`${program}${found ? "" : ": not on PATH; https://github.com/cloudfoundry/cli has it"}`, () => {
    let folder: Awaited<ReturnType<typeof tempFolder>>;
    let platform: Platform;
    let appDir = "";

    beforeAll(async () => {
      folder = await tempFolder(program);
      platform = await startPlatform({ dataDir: join(folder.path, "data"), args: ["--no-demo", "--admin-password", "s3cret-of-the-test", ...args] });
      appDir = await writeTree(join(folder.path, "greeter"), nodeApp("hello from cf push"));
    }, 120_000);
    afterAll(async () => {
      await platform?.[Symbol.asyncDispose]();
      await folder?.[Symbol.asyncDispose]();
    });

    const cfAs = async (home: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> => {
      const CF_HOME = join(folder.path, `home-${home}`);
      await mkdir(CF_HOME, { recursive: true });
      return run(found as string, args, {
        limitMs: 180_000, cwd: folder.path, ...options,
        env: { PATH: process.env["PATH"], HOME: folder.path, CF_HOME, CF_COLOR: "false", LANG: "en_US.UTF-8", CF_STAGING_TIMEOUT: "2", CF_STARTUP_TIMEOUT: "2", ...options.env },
      });
    };
    const cf = (...args: string[]) => cfAs("admin", args);
    /** A command that must succeed; its whole output. */
    const ok = async (...args: string[]): Promise<string> => {
      const ran = await cf(...args);
      expect(ran.code, `cf ${args.join(" ")}\n${ran.all}`).toBe(0);
      return ran.all;
    };
    /** A command that must fail, with FAILED or a usage text, and without a crash of the client. */
    const fails = async (...args: string[]): Promise<string> => {
      const ran = await cf(...args);
      expect(ran.code, `cf ${args.join(" ")}\n${ran.all}`).not.toBe(0);
      expect(ran.all).not.toMatch(/panic|goroutine|unexpected end of JSON/);
      return ran.all;
    };
    const page = (host: string, path = "/") => ask(`http://127.0.0.1:${platform.port}${path}`, { host: `${host}.cf.localhost` });
    /** cf is done as soon as one instance runs, whichever it is: the others follow. */
    const bothRun = (app: string) => until(`two instances of ${app} run`, async () => /#0\s+running[\s\S]*#1\s+running/.test(await ok("app", app)), { everyMs: 1_000 });
    const answers = (host: string, text: string) => until(`${host} answers "${text}"`, async () => {
      const answer = await page(host);
      return answer.status === 200 && answer.text.includes(text);
    });

    describe("session", () => {
      test("api", async () => {
        const out = await ok("api", String(platform.ready.api));
        expect(out).toMatch(/OK/);
        expect(out).toMatch(/API version:\s+3\.\d+\.\d+/i);
      });
      test("a wrong password is refused", async () => {
        expect(await fails("auth", "admin", "wrong")).toMatch(/Credentials were rejected/);
      });
      test("auth", async () => {
        expect(await ok("auth", "admin", "s3cret-of-the-test")).toMatch(/OK/);
      });
      test("create-org, orgs, org", async () => {
        expect(await ok("create-org", "acme")).toMatch(/Creating org acme as admin[\s\S]*OK/);
        expect(await ok("create-org", "acme")).toMatch(/already exists/);
        expect(await ok("orgs")).toMatch(/^acme$/m);
        expect(await ok("target", "-o", "acme")).toMatch(/org:\s+acme/);
        expect(await ok("org", "acme")).toMatch(/name:\s+acme[\s\S]*domains:\s+cf\.localhost[\s\S]*quota:\s+\S+/);
      });
      test("create-space, spaces, space", async () => {
        expect(await ok("create-space", "dev")).toMatch(/Creating space dev[\s\S]*OK/);
        expect(await ok("create-space", "dev")).toMatch(/already exists/);
        expect(await ok("spaces")).toMatch(/^dev$/m);
        expect(await ok("target", "-o", "acme", "-s", "dev")).toMatch(/space:\s+dev/);
        expect(await ok("space", "dev")).toMatch(/name:\s+dev[\s\S]*org:\s+acme/);
      });
      test("login as one command aims at org and space", async () => {
        const ran = await cfAs("login", ["login", "-a", String(platform.ready.api), "-u", "admin", "-p", "s3cret-of-the-test", "-o", "acme", "-s", "dev"]);
        expect(ran.code, ran.all).toBe(0);
        expect(ran.all).toMatch(/Targeted org acme[\s\S]*Targeted space dev/);
      });
      test("oauth-token", async () => {
        expect(await ok("oauth-token")).toMatch(/^bearer [\w-]+\.[\w-]+\.[\w-]+$/m);
      });
      test("an unknown org and space are named", async () => {
        expect(await fails("space", "nowhere")).toMatch(/Space 'nowhere' not found/);
        expect(await fails("target", "-o", "nowhere")).toMatch(/Organization 'nowhere' not found/);
        // A target that failed leaves the client without one.
        await ok("target", "-o", "acme", "-s", "dev");
      });
    });

    describe("users and roles", () => {
      test("create-user, set roles, users, unset roles", async () => {
        expect(await ok("create-user", "bob", "bobs-Passw0rd")).toMatch(/OK/);
        expect(await ok("set-org-role", "bob", "acme", "OrgManager")).toMatch(/OK/);
        expect(await ok("set-org-role", "bob", "acme", "OrgManager")).toMatch(/OK/);
        expect(await ok("set-space-role", "bob", "acme", "dev", "SpaceAuditor")).toMatch(/OK/);
        expect(await ok("org-users", "acme")).toMatch(/ORG MANAGER\s+(admin\b.*\s+)?bob/);
        expect(await ok("space-users", "acme", "dev")).toMatch(/SPACE AUDITOR\s+bob/);
      });
      test("a space auditor sees, and may not change", async () => {
        const login = await cfAs("bob", ["login", "-a", String(platform.ready.api), "-u", "bob", "-p", "bobs-Passw0rd", "-o", "acme", "-s", "dev"]);
        expect(login.code, login.all).toBe(0);
        const apps = await cfAs("bob", ["apps"]);
        expect(apps.code, apps.all).toBe(0);
        const created = await cfAs("bob", ["create-app", "forbidden"]);
        expect(created.code, created.all).not.toBe(0);
        expect(created.all).toMatch(/not authorized/i);
      });
      test("unset-space-role, unset-org-role", async () => {
        expect(await ok("unset-space-role", "bob", "acme", "dev", "SpaceAuditor")).toMatch(/OK/);
        expect(await ok("unset-org-role", "bob", "acme", "OrgManager")).toMatch(/OK/);
        expect(await ok("space-users", "acme", "dev")).not.toMatch(/SPACE AUDITOR\s+bob/);
      });
      test("delete-user", async () => {
        expect(await ok("delete-user", "-f", "bob")).toMatch(/OK/);
        const gone = await cfAs("bob2", ["login", "-a", String(platform.ready.api), "-u", "bob", "-p", "bobs-Passw0rd"]);
        expect(gone.code).not.toBe(0);
      });
    });

    describe("an app", () => {
      test("push a folder", async () => {
        const out = await ok("push", "greeter", "-p", appDir, "-m", "128M");
        expect(out).toMatch(/requested state:\s+started/);
        expect(out).toMatch(/#0\s+running/);
        await answers("greeter", "hello from cf push");
      }, 240_000);
      test("apps, app", async () => {
        expect(await ok("apps")).toMatch(/greeter\s+started\s+web:1\/1\s+greeter\.cf\.localhost/);
        const app = await ok("app", "greeter");
        expect(app).toMatch(/routes:\s+greeter\.cf\.localhost/);
        expect(app).toMatch(/memory usage:\s+128M/);
        expect(app).toMatch(/buildpacks:[\s\S]*node/i);
        expect(await ok("app", "greeter", "--guid")).toMatch(/[0-9a-f-]{36}/);
      });
      test("logs --recent, logs", async () => {
        const recent = await until("staging and app lines", async () => {
          const out = await ok("logs", "greeter", "--recent");
          return /\[STG\/\d\] OUT/.test(out) && /\[APP\/PROC\/WEB\/0\] OUT.*listening/.test(out) && out;
        });
        expect(recent).toMatch(/\[API\/\d+\]/);
        const stop = new AbortController();
        const tail = cfAs("admin", ["logs", "greeter"], { signal: stop.signal, limitMs: 60_000, onText: (all) => { if (all.includes("asked for /err")) stop.abort(); } });
        const asking = setInterval(() => { page("greeter", "/err").catch(() => undefined); }, 1_000);
        const { all } = await tail;
        clearInterval(asking);
        expect(all).toMatch(/\[APP\/PROC\/WEB\/0\] OUT asked for \/err/);
      }, 120_000);
      test("set-env, env, unset-env", async () => {
        expect(await ok("set-env", "greeter", "SEASON", "autumn")).toMatch(/OK/);
        expect(await ok("env", "greeter")).toMatch(/SEASON:\s+autumn/);
        expect(await ok("env", "greeter")).toMatch(/VCAP_APPLICATION/);
        expect(await ok("unset-env", "greeter", "SEASON")).toMatch(/OK/);
        expect(await ok("env", "greeter")).not.toMatch(/SEASON/);
        expect(await fails("set-env", "greeter", "VCAP_X", "1")).toMatch(/VCAP_/);
      });
      test("scale", async () => {
        expect(await ok("scale", "greeter", "-i", "2")).toMatch(/OK|instances:|Scaling/);
        await bothRun("greeter");
        expect(await ok("scale", "greeter", "-m", "96M", "-k", "512M", "-f")).toMatch(/#[01]\s+running/);
        await bothRun("greeter");
        expect(await ok("scale", "greeter")).toMatch(/memory usage:\s+96M/);
      }, 240_000);
      test("restart-app-instance gives another instance at the same index", async () => {
        const idOf = async () => until("instance 1", async () => {
          const answer = await ask(`http://127.0.0.1:${platform.port}/id`, { host: "greeter.cf.localhost", headers: { "x-cf-app-instance": `${(await ok("app", "greeter", "--guid")).trim()}:1` } });
          return answer.status === 200 && answer.text;
        });
        const before = await idOf();
        expect(await ok("restart-app-instance", "greeter", "1")).toMatch(/OK/);
        await until("another id", async () => (await idOf()) !== before);
      }, 120_000);
      test("stop, start, restart, restage", async () => {
        expect(await ok("stop", "greeter")).toMatch(/OK/);
        expect(await ok("apps")).toMatch(/greeter\s+stopped\s+web:0\/2/);
        await until("nobody answers", async () => nobody.includes((await page("greeter")).status));
        expect(await ok("start", "greeter")).toMatch(/#[01]\s+running/);
        await bothRun("greeter");
        expect(await ok("restart", "greeter")).toMatch(/#[01]\s+running/);
        await bothRun("greeter");
        expect(await ok("restage", "greeter")).toMatch(/#[01]\s+running/);
        await bothRun("greeter");
        await answers("greeter", "hello from cf push");
      }, 300_000);
      test("packages, stage-package, droplets, set-droplet", async () => {
        const packages = await ok("packages", "greeter");
        const guid = /([0-9a-f-]{36})\s+ready/.exec(packages)?.[1] ?? "";
        expect(guid, packages).not.toBe("");
        const staged = await ok("stage-package", "greeter", "--package-guid", guid);
        const droplet = /droplet guid:\s+([0-9a-f-]{36})/.exec(staged)?.[1] ?? "";
        expect(droplet, staged).not.toBe("");
        expect(await ok("droplets", "greeter")).toContain(droplet);
        expect(await ok("set-droplet", "greeter", droplet)).toMatch(/OK/);
      }, 240_000);
      test("download-droplet, push --droplet", async () => {
        const file = join(folder.path, "greeter.tgz");
        await ok("download-droplet", "greeter", "--path", file);
        expect(await ok("push", "copy", "--droplet", file, "-m", "64M")).toMatch(/#0\s+running/);
        await answers("copy", "hello from cf push");
        await ok("delete", "copy", "-f", "-r");
      }, 240_000);
      test("events", async () => {
        const out = await ok("events", "greeter");
        for (const event of ["audit.app.create", "audit.app.update", "audit.app.stop", "audit.app.start"]) expect(out).toContain(event);
      });
      test("push --strategy rolling never leaves the app without an answer", async () => {
        await writeTree(appDir, nodeApp("hello from the rolling push"));
        const bad: string[] = [];
        const stop = new AbortController();
        const watch = (async () => {
          while (!stop.signal.aborted) {
            const answer = await page("greeter").catch((error: unknown) => ({ status: 0, text: String(error) }));
            if (answer.status !== 200) bad.push(`${answer.status} ${answer.text.slice(0, 100)}`);
            await new Promise((resolve) => { setTimeout(resolve, 50); });
          }
        })();
        const out = await ok("push", "greeter", "-p", appDir, "--strategy", "rolling");
        await answers("greeter", "hello from the rolling push");
        stop.abort();
        await watch;
        expect(out).toMatch(/#0\s+running/);
        expect(bad).toEqual([]);
      }, 300_000);
      test("rename, delete", async () => {
        expect(await ok("rename", "greeter", "welcomer")).toMatch(/OK/);
        expect(await ok("apps")).toMatch(/^welcomer\s/m);
        expect(await ok("delete", "welcomer", "-f", "-r")).toMatch(/OK/);
        expect(await ok("apps")).not.toMatch(/welcomer/);
        expect(await ok("routes")).not.toMatch(/greeter/);
        expect(await fails("app", "welcomer")).toMatch(/App 'welcomer' not found/);
      }, 60_000);
    });

    describe("ways to push", () => {
      test("a zip file, with buildpack, command, instances, disk, no start", async () => {
        const file = join(folder.path, "bits.zip");
        await writeFile(file, await zipFolder(appDir));
        await ok("push", "zipped", "-p", file, "-b", "binary_buildpack", "-c", "node server.js", "-i", "2", "-m", "64M", "-k", "256M", "-u", "process", "--no-start");
        expect(await ok("app", "zipped")).toMatch(/requested state:\s+stopped/);
        expect(await ok("start", "zipped")).toMatch(/start command:\s+node server\.js[\s\S]*#[01]\s+running|#[01]\s+running/);
        await bothRun("zipped");
        await answers("zipped", "hello from the rolling push");
        expect(await ok("get-health-check", "zipped")).toMatch(/process/);
      }, 300_000);
      test("--no-route, --random-route", async () => {
        const plain = await writeTree(join(folder.path, "plain"), staticApp("plain page"));
        expect(await ok("push", "quiet", "-p", plain, "-m", "64M", "--no-route")).toMatch(/routes:\s*$/m);
        const random = await ok("push", "lucky", "-p", plain, "-m", "64M", "--random-route");
        const host = /routes:\s+(lucky-[a-z-]+)\.cf\.localhost/.exec(random)?.[1];
        expect(host, random).toBeDefined();
        await answers(String(host), "plain page");
      }, 300_000);
      test("a manifest with several apps and a variable", async () => {
        const dir = await writeTree(join(folder.path, "several"), {
          "manifest.yml": [
            "applications:",
            "- name: front", "  path: front", "  memory: 64M", "  env:", "    BACK: ((back-name))",
            "- name: back", "  path: back", "  memory: 64M", "  instances: 1", "  routes:", "  - route: hidden-((back-name)).cf.localhost", "",
          ].join("\n"),
        });
        await writeTree(join(dir, "front"), nodeApp("the front"));
        await writeTree(join(dir, "back"), nodeApp("the back"));
        const out = await cfAs("admin", ["push", "--var", "back-name=kitchen"], { cwd: dir, limitMs: 300_000 });
        expect(out.code, out.all).toBe(0);
        await answers("front", "the front");
        await answers("hidden-kitchen", "the back");
        expect(JSON.parse((await page("front", "/env")).text)).toMatchObject({ BACK: "kitchen" });
      }, 360_000);
      test("create-app-manifest", async () => {
        const file = join(folder.path, "front.yml");
        await ok("create-app-manifest", "front", "-p", file);
        const { readFile } = await import("node:fs/promises");
        expect(await readFile(file, "utf8")).toMatch(/name: front[\s\S]*BACK: kitchen/);
      });
      test("what cannot be staged or started ends as FAILED with a reason", async () => {
        const riddle = await writeTree(join(folder.path, "riddle"), { "what.xyz": "?" });
        expect(await fails("push", "riddle", "-p", riddle, "-m", "64M")).toMatch(/NoAppDetectedError|no app detected/i);
        const broken = await writeTree(join(folder.path, "broken"), nodeApp("never", { "server.js": "console.error('no luck today'); process.exit(3);" }));
        const out = await fails("push", "broken", "-p", broken, "-m", "64M");
        expect(out).toMatch(/crash/i);
        expect(await ok("logs", "broken", "--recent")).toMatch(/no luck today/);
        await ok("delete", "riddle", "-f");
        await ok("delete", "broken", "-f", "-r");
      }, 360_000);
    });

    describe("routes and domains", () => {
      test("create-route, check-route, map-route, unmap-route, delete-route", async () => {
        expect(await ok("create-route", "cf.localhost", "--hostname", "extra")).toMatch(/OK/);
        expect(await ok("create-route", "cf.localhost", "--hostname", "extra")).toMatch(/already exists/);
        expect(await ok("check-route", "cf.localhost", "--hostname", "extra")).toMatch(/does exist/);
        expect(await ok("map-route", "front", "cf.localhost", "--hostname", "extra")).toMatch(/OK/);
        expect(await ok("routes")).toMatch(/extra\s+cf\.localhost\s+.*front/);
        await answers("extra", "the front");
        expect(await ok("map-route", "front", "cf.localhost", "--hostname", "extra", "--path", "/kitchen")).toMatch(/OK/);
        expect(await ok("unmap-route", "front", "cf.localhost", "--hostname", "extra")).toMatch(/OK/);
        await until("nobody answers at extra/", async () => nobody.includes((await page("extra")).status));
        await until("somebody answers at extra/kitchen", async () => (await page("extra", "/kitchen")).status === 200);
        expect(await ok("delete-route", "cf.localhost", "--hostname", "extra", "--path", "/kitchen", "-f")).toMatch(/OK/);
        expect(await ok("delete-route", "cf.localhost", "--hostname", "extra", "-f")).toMatch(/OK/);
        expect(await ok("check-route", "cf.localhost", "--hostname", "extra")).toMatch(/does not exist/);
      }, 120_000);
      test("domains, create-private-domain, delete-private-domain", async () => {
        expect(await ok("create-private-domain", "acme", "acme.example")).toMatch(/OK/);
        expect(await ok("domains")).toMatch(/cf\.localhost\s+shared[\s\S]*acme\.example\s+private|acme\.example\s+private[\s\S]*cf\.localhost\s+shared/);
        expect(await ok("map-route", "front", "acme.example", "--hostname", "shop")).toMatch(/OK/);
        await until("the private domain is routed", async () => (await ask(`http://127.0.0.1:${platform.port}/`, { host: "shop.acme.example" })).text.includes("the front"));
        expect(await ok("delete-private-domain", "acme.example", "-f")).toMatch(/OK/);
        expect(await ok("routes")).not.toMatch(/acme\.example/);
      }, 60_000);
    });

    describe("the rest of the platform", () => {
      test("buildpacks, stacks, feature-flags, curl", async () => {
        const buildpacks = await ok("buildpacks");
        for (const name of ["nodejs_buildpack", "staticfile_buildpack", "binary_buildpack"]) expect(buildpacks).toContain(name);
        expect(await ok("stacks")).toMatch(/cflinuxfs\d/);
        expect(await ok("feature-flags")).toMatch(/diego_docker\s+(enabled|disabled)/);
        expect(JSON.parse(await ok("curl", "/v3/organizations?names=acme"))).toMatchObject({ resources: [{ name: "acme" }] });
      });
      test("services and tasks, which this platform has not, are listed as none and refused in words", async () => {
        expect(await ok("services")).toMatch(/No service instances found/);
        expect(await ok("marketplace")).toMatch(/No service offerings found/);
        expect(await fails("create-user-provided-service", "ledger", "-p", '{"uri":"db://ledger"}')).toMatch(/this platform does not have this feature/);
        expect(await ok("tasks", "front")).toMatch(/No tasks found/);
        expect(await fails("run-task", "front", "--command", "echo counted")).toMatch(/Task workers are unavailable/);
      });
      test("org-quotas, security-groups, isolation-segments, service-brokers and env var groups can be read", async () => {
        expect(await ok("org-quotas")).toMatch(/default/);
        for (const command of ["space-quotas", "security-groups", "isolation-segments", "running-environment-variable-group", "staging-environment-variable-group"]) await ok(command);
      });
      test("security groups: created, bound to a space and everywhere, changed, unbound, deleted", async () => {
        const rules = join(folder.path, "rules.json");
        await writeFile(rules, JSON.stringify([{ protocol: "tcp", destination: "10.1.2.3", ports: "5432", description: "ledger" }]));
        expect(await ok("create-security-group", "ledger", rules)).toMatch(/OK/);
        expect(await ok("create-security-group", "ledger", rules)).toMatch(/already exists/);
        expect(await ok("bind-security-group", "ledger", "acme", "--space", "dev")).toMatch(/OK/);
        expect(await ok("security-groups")).toMatch(/ledger\s+acme\s+dev\s+running/);
        expect(await ok("security-group", "ledger")).toMatch(/"destination": "10\.1\.2\.3"[\s\S]*acme\s+dev/);
        expect(await ok("space", "dev")).toMatch(/running security groups:\s+all_networks, ledger/);
        await writeFile(rules, JSON.stringify([{ protocol: "all", destination: "10.1.2.0/33" }]));
        expect(await fails("update-security-group", "ledger", rules)).toMatch(/Rules\[0\]: destination must contain valid CIDR/);
        await writeFile(rules, JSON.stringify([{ protocol: "all", destination: "10.1.2.0/24" }]));
        expect(await ok("update-security-group", "ledger", rules)).toMatch(/OK/);
        expect(await ok("bind-running-security-group", "ledger")).toMatch(/OK/);
        expect(await ok("running-security-groups")).toMatch(/^ledger$/m);
        expect(await ok("unbind-running-security-group", "ledger")).toMatch(/OK/);
        expect(await ok("bind-staging-security-group", "ledger")).toMatch(/OK/);
        expect(await ok("staging-security-groups")).toMatch(/^ledger$/m);
        expect(await ok("unbind-staging-security-group", "ledger")).toMatch(/OK/);
        expect(await ok("unbind-security-group", "ledger", "acme", "dev")).toMatch(/OK/);
        expect(await ok("delete-security-group", "ledger", "-f")).toMatch(/OK/);
        expect(await ok("security-groups")).not.toMatch(/ledger/);
      }, 120_000);
      test("isolation segments: created, given to an org, to its default, to a space, and taken back", async () => {
        expect(await ok("create-isolation-segment", "gold")).toMatch(/OK/);
        expect(await ok("create-isolation-segment", "Gold")).toMatch(/Isolation segment 'Gold' already exists/);
        expect(await fails("set-space-isolation-segment", "dev", "gold")).toMatch(/Ensure it has been entitled to the organization/);
        expect(await ok("enable-org-isolation", "acme", "gold")).toMatch(/OK/);
        expect(await ok("isolation-segments")).toMatch(/^gold\s+acme$/m);
        expect(await ok("set-org-default-isolation-segment", "acme", "gold")).toMatch(/OK/);
        expect(await ok("org", "acme")).toMatch(/isolation segments:\s+gold \(default\)/);
        expect(await ok("space", "dev")).toMatch(/isolation segment:\s+gold/);
        expect(await ok("reset-org-default-isolation-segment", "acme")).toMatch(/OK/);
        expect(await ok("set-space-isolation-segment", "dev", "gold")).toMatch(/Restart applications in this space/);
        expect(await ok("space", "dev")).toMatch(/isolation segment:\s+gold/);
        expect(await fails("disable-org-isolation", "acme", "gold")).toMatch(/assigned to any Spaces. Currently assigned to: \['dev'\]/);
        expect(await ok("reset-space-isolation-segment", "dev")).toMatch(/OK/);
        expect(await fails("delete-isolation-segment", "gold", "-f")).toMatch(/Revoke the Organization entitlements/);
        expect(await ok("disable-org-isolation", "acme", "gold")).toMatch(/OK/);
        expect(await ok("delete-isolation-segment", "gold", "-f")).toMatch(/OK/);
        expect(await ok("isolation-segments")).not.toMatch(/gold/);
      }, 120_000);
      test("delete-space, delete-org take everything along", async () => {
        expect(await ok("delete-space", "dev", "-f")).toMatch(/OK/);
        await until("no app answers", async () => nobody.includes((await page("front")).status));
        expect(await ok("delete-org", "acme", "-f")).toMatch(/OK/);
        expect(await ok("orgs")).not.toMatch(/^acme$/m);
      }, 120_000);
      test("logout", async () => {
        expect(await ok("logout")).toMatch(/OK/);
        expect(await fails("orgs")).toMatch(/Not logged in/);
      });
    });
  });
}
