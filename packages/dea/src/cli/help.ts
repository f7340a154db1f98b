/** What `--help` says. Lines below 110 columns. */
export const help = `opencf-dea: runs droplets

  opencf-dea --nats URL [options]     joins a bus and runs what it is told to: an executor of a Cloud Foundry
  opencf-dea run DROPLET [options]    runs one droplet by hand, shows what it prints, says why it ended
  opencf-dea exec INSTANCE [-- COMMAND]  runs a command, or a shell, in an instance of an executor on this machine
  opencf-dea doctor [--json]          what this machine can isolate, how to get the rest, and its runtimes

A droplet is a .tgz (path or URL) with app/ in it and, usually, a staging_info.yml that names the start command.

Joining a bus
      --nats URL            nats://HOST:4222 or tls://HOST:4222, several with commas (or NATS_URL)
      --nats-creds FILE     credentials file; --nats-ca, --nats-cert, --nats-key FILE for TLS
      --data-dir FOLDER     what it keeps: with it a restart costs no app anything, also after a kill -9
                            (default: a temporary folder, and apps end with the program)
      --journal-key-file FILE   encrypts what it writes down of its apps (key: 16 bytes or more); starts that its
                            death cuts short are then carried out by the next start
      --backend NAME        linux (containers; needs root), process, auto (default: linux where it works)
      --isolate KIND        around each app of the process backend: auto (default), bubblewrap, user-namespace, none
      --memory SIZE         what may be promised (default: the machine's); --disk SIZE likewise
      --overcommit FACTOR   promise this many times the memory; --disk-overcommit FACTOR likewise
      --max-instances N     (default 1000)
      --host ADDRESS        where apps are reached (default: this machine's address towards the bus)
      --ports FIRST-LAST    ports for apps (default 61001-65000)
      --zone NAME           placement zone (default "default")
      --pool NAME           isolation segment; --isolation-segment NAME is the same
      --stacks LIST         names of stacks, or name=/folder with its root (linux only; default cflinuxfs4)
      --on-term WHAT        keep: apps go on without it and the next start takes them over (default with --data-dir);
                            stop: they are stopped, withdrawn and reported
      --evacuation-timeout SECONDS   (default 600)
  -c, --config FILE         YAML with the keys of a DEA (resources, intervals, stacks, ...); keys that change
                            nothing are named in the log; options of the command line win
      --json                log as one JSON object per line on standard output

  Signals: TERM, INT and QUIT end it as --on-term says; again: nobody gets more time; a third time: at once.
  USR1: takes no more work, what runs goes on. USR2: evacuates: apps run on until they run elsewhere or the
  time is over, then it stops the rest and ends.

Running one droplet
  -p, --port PORT           port on this machine (default: a free one); the app finds its own in PORT
      --host ADDRESS        address under which the app is reached (default 127.0.0.1)
      --command COMMAND     start command (default: the droplet's own)
      --memory SIZE         such as 128M or 2G (default 512M)
      --disk SIZE           (default 1G)
      --env NAME=VALUE      may be given several times
      --health TYPE         port, http:/path, process or none (default port)
      --check-timeout SECONDS        time until it must be healthy (default 60); --timeout is the same
      --grace SECONDS       time between TERM and KILL (default 10)
      --sha256 DIGEST       what the droplet must hash to
      --stack NAME          name, or name=/folder with its root: the linux backend runs the app on it
      --backend NAME        process (default), linux, auto
      --isolate KIND        as above
      --data-dir FOLDER     keep the executor's state here (default: a temporary folder)
      --json                one JSON object per line instead of text

  It says in its last line why the app ended: exit:N, signal:NAME, oom, disk-quota, health-timeout, ...

Running a command in an instance
      --data-dir FOLDER     of the executor that runs it (needed)
  -t, --tty                 with a terminal (default: for a shell, where there is one here)
      --user NAME           vcap (default), or root: root of the container

  Input, output, signals and the terminal's size are the command's, and so is the exit code (128+N for signal N).

Examples
  opencf-dea --nats nats://10.0.0.2:4222 --data-dir /var/lib/opencf-dea --backend linux --memory 16G --zone z1
  opencf-dea -c /etc/dea.yml --json
  opencf-dea run hello.tgz -p 8080 --memory 256M
  opencf-dea run https://example.com/shop.tgz --sha256 9f86d0... --env GREETING=hi --health http:/health
  opencf-dea run worker.tgz --health process --command 'node worker.js'
  opencf-dea exec --data-dir /var/lib/opencf-dea 0123456789abcdef0123456789abcdef -- ls -l app
  opencf-dea doctor --json

Exit code: 0 it ended as it was told, 1 it did not work, 2 you asked wrongly.
`;
