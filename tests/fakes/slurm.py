"""Stands in for sacct, sacctmgr, scontrol, squeue and sreport: answers from `slurm.json` beside it, as Slurm words it.

It is strict where Slurm is: an option or a column that the version does not have ends it with 1.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

HERE = Path(sys.argv[0]).absolute().parent
NAME = Path(sys.argv[0]).name
ARGUMENTS = sys.argv[1:]

STATE = json.loads((HERE / "slurm.json").read_text(encoding="utf-8"))
with (HERE / "asked.txt").open("a", encoding="utf-8") as file:
    file.write(f"TZ={os.environ.get('TZ')} {' '.join([NAME, *ARGUMENTS])}\n")


def clock(seconds):
    if seconds is None:
        return "Unknown"
    if os.environ.get("SLURM_TIME_FORMAT") == "%s":
        return str(seconds)
    assert os.environ["TZ"] == "UTC"
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def seconds(text):
    return int(time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S")))


def ended(message):
    print(message, file=sys.stderr)
    sys.exit(1)


def value_of(option):
    return ARGUMENTS[ARGUMENTS.index(option) + 1]


def setting(name):
    return next(each.removeprefix(f"{name}=") for each in ARGUMENTS if each.startswith(f"{name}="))


def sacct():
    columns = STATE["columns"]
    if ARGUMENTS == ["--helpformat"]:
        for first in range(0, len(columns), 4):
            print("".join(f"{name:<20}" for name in columns[first : first + 4]))
        return
    if ARGUMENTS == ["--help"]:
        print("sacct [<OPTION>]\n     -a, --allusers:\n" + ("         --array:\n" if STATE["array"] else ""))
        return
    if "--array" in ARGUMENTS and not STATE["array"]:
        ended("sacct: unrecognized option '--array'")
    asked = value_of("-o").split(",")
    unknown = [name for name in asked if name not in columns]
    if unknown:
        ended(f'sacct: error: Invalid field requested: "{unknown[0]}"')
    print("|".join(asked))
    start, end = seconds(value_of("-S")), seconds(value_of("-E"))
    for job in STATE["jobs"]:
        if job["Cluster"] == value_of("-M") and job["Eligible"] < end and (job["End"] is None or job["End"] >= start):
            print("|".join(clock(job[name]) if name in TIMES else str(job.get(name, "")) for name in asked))


TIMES = ("Submit", "Eligible", "Start", "End")


def sacctmgr():
    words = [word for word in ARGUMENTS if not word.startswith("-")]
    match words[1]:
        case "cluster":
            print("\n".join(STATE["clusters"]))
        case "tres":
            print("cpu|\nmem|\ngres|gpu\ngres|gpu:h100\ngres|gpumem")
        case "configuration":
            print("Configuration data as of now\nPrivateData            = none\nPurgeJobAfter = NONE")
            print(f"SLURM_CONF = /etc/slurm/slurm.conf\nPrivateData            = {STATE['private']}")
        case "user":
            print(STATE["level"])
        case "event":
            print("Cluster|Cluster Nodes|NodeName|TimeStart|TimeEnd|StateRaw|State|TRES|User|Reason")
            start, end = seconds(setting("start")), seconds(setting("end"))
            for began, over, node, state in STATE["events"]:
                if began < end and (over is None or over >= start):
                    where = f"{setting('clusters')}||{node}|{clock(began)}|{clock(over)}"
                    print(f"{where}|1|{state}|cpu=8|root(0)|fan | noisy")
        case "reservation":
            print("Cluster|ID|Name|NodeName|TimeStart|TimeEnd|Flags|TRES|Assocs")
        case "assoc":
            assert "withdeleted" in words
            print("Cluster|Account|User|ParentName")
            print(f"{setting('clusters')}|root||\n{setting('clusters')}|ml||root")
        case "qos":
            print("Name|Priority|Preempt|PreemptMode\nnormal|0||cluster\nurgent|10|normal|cluster")


def scontrol():
    for node in STATE["nodes"]:
        print(f"NodeName={node} Arch=x86_64\n   CPUTot=8 CfgTRES=cpu=8,gres/gpu=4,gres/gpu:h100=4\n   State=IDLE\n")


def squeue():
    print(f"CLUSTER: {value_of('-M')}")
    print("JOBID|STATE|SUBMIT_TIME|START_TIME|PARTITION|ACCOUNT|USER|QOS|NODES|CPUS|TRES_PER_NODE|TIME_LIMIT|REASON")
    print("7_[1-3]|PENDING|1795305600|N/A|main|ml|ann|normal|1|1|gres:gpu:1|UNLIMITED|Resources")


def sreport():
    first = setting("start")
    line = "-" * 80
    head = "Cluster|Account|Login|Proper Name|TRES Name|Used"
    title = f"Cluster/Account/User Utilization {first} - {first[:10]}T23:59:59 (86400 secs)"
    if "Utilization" in ARGUMENTS:
        head = "Cluster|TRES Name|Allocated|Down|PLND Down|Idle|Planned|Reported"
        title = f"Cluster Utilization {first} - {first[:10]}T23:59:59"
    print(f"{line}\n{title}\nUsage reported in TRES Seconds\n{line}\n{head}")
    if "Utilization" not in ARGUMENTS:
        for (day, account), used in [(key.split(" "), used) for key, used in STATE["usage"].items()]:
            if day == first[:10]:
                print(f"{setting('clusters')}|{account}|||gres/gpu|{used}")


def failing(how):
    """Fails as a real command may: `half` and `killed` have printed a part of their answer before."""
    if how == "silent":
        sys.exit(0)
    if how == "other":
        print("slurmdbd says good morning")
        sys.exit(0)
    if how == "complains":
        print(f"{NAME}: warning: \x1b[31mthe clock is wrong", file=sys.stderr)
        return
    if how == "hangs":
        time.sleep(60)
    if how in ("half", "killed"):
        {"sacct": sacct, "sacctmgr": sacctmgr, "scontrol": scontrol, "squeue": squeue, "sreport": sreport}[NAME]()
        sys.stdout.write("alpha|12|12")
        sys.stdout.flush()
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    ended(f"{NAME}: error: slurm_persist_conn_open: something\n{NAME}: fatal: no database")


for key, how in STATE["failing"].items():
    if key in " ".join([NAME, *ARGUMENTS]):
        failing(how)
{"sacct": sacct, "sacctmgr": sacctmgr, "scontrol": scontrol, "squeue": squeue, "sreport": sreport}[NAME]()
