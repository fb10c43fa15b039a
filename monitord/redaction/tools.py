"""The command line tools whose options and operands hold secrets, after their manual pages.

`_OPTIONS`, one group of tools a line (a longer one goes on with two blanks): `tool tool: option option`. An
option alone takes its secret attached or as the next word; `+` only attached (`mysql -pSECRET`; `-p` alone
prompts), `=next` never; `=login` has user:secret, `=cookie` a cookie if no file, `=cert` file:secret.
`tool[verb]` holds only where that word is present.

`_OPERANDS`, one form a line: `tool tool: words`. `S` is the secret, `*` any operand, `K` `key=secret`s,
`S$` the last operand, `P` a path or drive; `-b` in front: only where that letter is given. Other words stand
for themselves in any case (`http-basic.*`: for what begins so). `CARRIERS` run another tool; `READERS` look
for words or show them; to those of `NAMING` a secret is a thing with a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_OPTIONS = """
mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlslap mysqlbinlog mysql_upgrade mysqlpump
  mariadb mariadb-dump mariadb-admin mariadb-import mariadb-check mariadb-show mytop xtrabackup: -p+
  --password=weak
psql pg_dump pg_dumpall pg_restore pg_basebackup createdb dropdb createuser dropuser vacuumdb reindexdb:
  --password=weak
check_snmp: -C
vault[create]: -id
uaac: -s -p
reaver bully wpscli mycli mydumper myloader pt-table-checksum pt-query-digest pt-online-schema-change gh-ost
  innotop mysqlsh mongo mongosh mongodump mongorestore mongoexport mongoimport mongostat mongotop mongofiles
  bsondump db2 db2batch db2move cbq cbbackupmgr couchbase-cli cbimport cbexport cbc cbbackup cbrestore cbstats
  neo4j-admin cypher-shell hdbsql hdbuserstore ncftpput ncftpget ncftpls sshpass smbmap crackmapexec nxc
  netexec evil-winrm hydra cadaver enum4linux enum4linux-ng bloodhound-python ldapdomaindump kerbrute patator
  rdesktop xfreerdp snx forticlient f5fpc nordvpn[login] pritunl-client racadm pkcs11-tool veracrypt truecrypt
  zulucrypt-cli fcrackzip useradd usermod adduser docker[login] podman[login] buildah[login] skopeo[login]
  nerdctl[login] helm[login] oc[login] az[login] crane[login] oras[login] singularity[login] apptainer[login]
  regctl[login] cosign[login] az certutil twine[upload] poetry[publish] uv[publish] conan[user] conan[login]
  rabbitmqadmin jenkins-jobs bolt vmware-cmd esxcli vncdo vncdotool gallery-dl instaloader you-get megadl
  megaput megals megaget airdecap-ng aircrack-ng airdecloak-ng airolib-ng psexec psexec64 winrs rspamadm
  doveadm: -p
ciscocmd: -p -s
ssserver sslocal ss-server ss-local ssservice gem[push] nuget dotnet[push] choco[push] openai: -k
hdparm: --security-unlock --security-disable --security-erase
ysqlsh: -W+
dislocker dislocker-fuse dislocker-file: -u+ -p+
eapol_test slappasswd: -s
clogin rancid: -p -e -v
conjur[variable] kaggle[config] iscsiadm: -v
amass: -api
gsutil[config] redis-cli redis-benchmark valkey-cli valkey-benchmark keydb-cli hatch[publish] sipsak: -a
suseconnect: -r --regcode
v2ray xray sing-box: -id -uuid
check_http check_tcp check_curl hey vegeta: -a=login
ktutil mcrypt ccrypt: -w -k -K
7z 7za 7zr 7zz unrar lha ace: -p+
rar: -p+ -hp+
zip unzip zipcloak funzip sqlcmd bcp tsql osql freebcp defncopy isql fisql dsql sqsh mssql-cli usql
  mssql-scripter mosquitto_pub mosquitto_sub mosquitto_rr p4 knife gobuster deluge-console: -P
arj: -g+
cqlsh dsetool dsbulk: -p
influx: -p=next -t
vsql vbr admintools: -w -p
ibmcloud bx: -p
beeline: -p -w
isql-fb isql-v gbak gsec gfix nbackup fbsvcmgr: -pas -pa
rman expdp impdp sqlldr exp imp: userid=login
etcdctl nats: --user=login
consul: -http-auth=login
curl: -u=login -U=login -b=cookie -E=cert --user=login --proxy-user=login --cert=cert --proxy-cert=cert
http https httpie xh xhs: -a=login --auth=login
ab: -A=login -P=login
lftp ncftp: -u=login -p
ftp tnftp open: -u=login
smbclient rpcclient smbget smbcacls smbcquotas smbtree smbspool winexe wmic wmic-py wmis samba-tool pth-winexe
  pth-smbclient ntlm_auth: -U=login --user=login
openfortivpn: -p -o
openconnect: --form-entry=login
zerotier-cli: -T
ipmitool ipmi-chassis ipmiutil ipmipower ipmiconsole ipmi-sensors freeipmi: -P -p
snmpget snmpgetnext snmpwalk snmpset snmpbulkwalk snmpbulkget snmptable snmptrap snmpinform snmpdf snmpstatus
  snmptest: -c -A -X -3m -3M -3k -3K
onesixtyone braa: -c
ldapsearch ldapadd ldapmodify ldapdelete ldappasswd ldapwhoami ldapcompare ldapmodrdn ldapexop ldapvi kadmin
  kadmin.local irssi smbpasswd odoo odoo-bin: -w
ldappasswd: -s -a -w
openssl: -k=next -K=next -passin -passout -macopt
keytool: -new
pk12util: -W -K -w -k
signtool: /p
security: -p -P -w -k
ssh-keygen: -N -P
yubico-piv-tool ykman: -P -N -p -n -m
tpm2_create tpm2_createprimary tpm2_unseal tpm2_load tpm2_nvread tpm2_nvwrite tpm2_sign tpm2_changeauth: -p -P
steghide outguess stegsnow: -p -k
pdftk: user_pw owner_pw input_pw
skopeo[copy]: --creds=login --src-creds=login --dest-creds=login
podman[pull] podman[push] buildah[pull] buildah[push] skopeo[inspect]: --creds=login
rancher doctl uv[publish] drone codecov coveralls telegram-send tg slackcat slack: -t
aws[put-parameter]: --value
swaks msmtp ssmtp sipp: -ap
sendemail: -xp
gitlab-runner[register]: -r -t
jenkins-cli java: -auth=login
sonar-scanner: -Dsonar.login
virt-customize virt-builder guestfish virt-sysprep: --root-password=login --password=login
vmrun govc ovftool: -p
sqlmap: --auth-cred=login --proxy-cred=login
nikto: -id=login
responder impacket-smbserver smbserver.py: -hashes
secretsdump.py psexec.py wmiexec.py smbexec.py getst.py gettgt.py getuserspns.py mssqlclient.py: -hashes -p
ffmpeg ffplay: -key
youtube-dl yt-dlp: -p -2 --twofactor
transmission-remote: -n=login --auth=login
ntfy: -k -u=login --user=login
bw op lpass: --session
freeradius radclient: -S
schtasks sc: /rp /p password=
icinga2: --ticket
"""

_OPERANDS = """
htpasswd htdigest mosquitto_passwd: -b S$
nifi.sh: set-single-user-credentials * S
gopass: insert * S
mkpasswd: -m * S
openssl: passwd S
openssl dscl: passwd * S
teamviewer: passwd S
vault: operator unseal S
bw: unlock S
caddy: hash-password S
grafana-cli: admin reset-admin-password S
grafana: cli admin reset-admin-password S
ngrok: config add-authtoken S
doppler: configure set token S
emqx: admins passwd * S
doveadm: auth test * S
virsh: set-user-password * * S
virsh: secret-set-value * S
squid: basic_auth * S
chezmoi: secret set S
addauth: digest S
smbclient: P S
smbclient: * P S
composer poetry: config http-basic.* * S
composer: config github-oauth.* S
composer: config gitlab-token.* S
composer: config bearer.* S
poetry: config pypi-token.* S
rabbitmqctl: add_user * S
rabbitmqctl: change_password * S
rabbitmqctl: authenticate_user * S
rabbitmqctl: set_parameter federation-upstream * S
vault bao consul wandb huggingface-cli cargo anaconda: login S
vault bao: kv put * K
vault: kv patch * K
vault: write * K
vault: token renew S
vault: token revoke S
etcdctl: user add S
mc minio-client mcli: alias set * * S S
mc: config host add * * S S
mc: admin user add * S S
net: use P P S
net: use P S
net: user * S
net: rpc user add * S
net: rpc password * S
samba-tool: user create * S
samba-tool: user add * S
samba-tool: user setpassword * S
wpa_passphrase megalogin mega-login: * S
wpa_cli: set_network * psk S
wpa_cli: passphrase * S
iwconfig: * key S
iw: dev * connect * key S
ngrok: authtoken S
cloudflared: service install S
rclone: obscure S
rclone: config create * * K
rclone: config update * K
rclone: config password * * S
rclone: pass S
rclone: password2 S
rclone: secret_access_key S
oathtool totp vmq-passwd tomcat-digest.sh digest.sh: S$
steamcmd: +login * S
steamcmd bw megacmd: login * S
redis-cli valkey-cli keydb-cli snyk mongo mongosh: auth S
redis-cli valkey-cli cf influx: auth * S
redis-cli: acl setuser * * S
fly flyctl: auth token S
gcloud: auth activate-refresh-token * S
hf: auth login S
pulumi bundle: config set * S
heroku dokku cap: config:set K
heroku: config:add K
fly flyctl doppler: secrets set K
railway: variables set K
chamber: write * * S
credstash: put * S
glab: variable set * S
travis: encrypt K
travis: env set * S
eb: setenv K
aws: configure set aws_access_key_id S
gem: signin S
nuget: setapikey S
dotnet: user-secrets set * S
choco: apikey S
snap: set * K
kerbrute: bruteuser * * S
berglas: create * S
ipmicfg: setpwd * S
sedutil-cli: --initialsetup S
sedutil-cli: --unlock S
sedutil-cli: --setsidpassword S S
radperf: * * auth S
shodan: init S
zrok: enable S
qpdf: --encrypt S S
isql radclient: * * S
db2: connect to * user * using S
nzpassword: add * * * S
orapwd: K
pass: otp append S
keyctl: add * * S
keyctl: padd * * S
op: signin * * * S
keybase: oneshot S
radtest: * S * * S
ipmitool: user set password * S
wg: set * private-key S
wg: set * preshared-key S
snmpusm: * S S
ansible-vault: encrypt_string S
convertto-securestring arango-secure-installation gpg-preset-passphrase: S
convertto-securestring: string S
mosquitto_ctrl: dynsec init * * S
mosquitto_ctrl: dynsec setclientpassword * S
mosquitto_ctrl: dynsec createclient * S
wp: user create * * S
drush: user:password * S
drush: upwd * S
drush: user-password * S
keystone: password-update S
lxc: config trust add S
maas: login * * S
bitcoin-cli litecoin-cli: walletpassphrase S
bitcoin-cli: encryptwallet S
bitcoin-cli litecoin-cli: importprivkey S
bitcoin-cli: walletpassphrasechange S S
geth: account import S
dscl: -passwd * S
networksetup: -setairportnetwork * * S
networksetup: setairportnetwork * * S
gpg-connect-agent: preset_passphrase * * S
"""

# Of any tool: what is kept under a name, unless it is a file.
GENERAL_FORMS = tuple(
    (thing, verb, "*", "S")
    for thing in ("secret", "secrets", "credential", "credentials", "token", "password", "passwords")
    for verb in ("set", "put", "add", "create", "insert", "write", "update", "store", "save", "new")
)
CARRIERS = frozenset(
    {"sudo", "doas", "env", "nohup", "time", "timeout", "nice", "ionice", "chrt", "taskset", "setsid",
     "stdbuf", "xargs", "exec", "strace", "ltrace", "gdb", "perf", "sh", "bash", "dash", "zsh", "ksh",
     "fish", "ash", "busybox", "su", "runuser", "ssh", "docker", "podman", "nerdctl", "kubectl", "oc", "k3s",
     "crictl", "ctr", "lxc", "incus", "nsenter", "chroot", "unshare", "systemd-run", "flock", "watch",
     "parallel", "torsocks", "proxychains", "proxychains4", "firejail", "bwrap", "script", "unbuffer",
     "expect", "vagrant", "fakeroot", "setpriv", "start-stop-daemon", "tini", "dumb-init", "catatonit",
     "python", "python3", "pypy", "node", "ruby", "perl", "php", "npx", "uvx", "uv", "pipx", "poetry", "pdm",
     "hatch", "bundle", "rails", "make", "just", "ninja", "direnv", "dotenv", "chpst", "s6-setuidgid",
     "gosu", "su-exec", "winpty", "cmd", "powershell", "pwsh", "command", "builtin", "eval", "heroku", "fly",
     "flyctl", "docker-compose", "wsl", "caffeinate", "sshpass", "dbus-run-session", "xvfb-run", "chronic",
     "ts", "ifne", "op", "doppler", "chamber", "aws-vault", "envconsul", "screen", "tmux", "byobu",
     "daemonize", "daemon", "supervise", "runsv", "tsp", "at", "batch", "nix", "nix-shell", "guix", "conda",
     "mamba", "micromamba", "devbox", "mise", "asdf", "cmd.exe", "powershell.exe", "pwsh.exe", "-c", "--"}
)  # fmt: skip
TAKES_SCRIPT = frozenset(  # whose arguments with blanks a shell reads
    {"sh", "bash", "dash", "zsh", "ksh", "fish", "ash", "ssh", "su", "watch", "flock", "parallel", "xargs",
     "screen", "tmux", "eval"}
)  # fmt: skip
READERS = frozenset(
    {"grep", "egrep", "fgrep", "rg", "ag", "ack", "zgrep", "git", "find", "fd", "fdfind", "locate", "man",
     "apropos", "vim", "vi", "nvim", "emacs", "nano", "less", "more", "cat", "head", "tail", "sed", "awk",
     "gawk", "ls", "cd", "touch", "mkdir", "rm", "cp", "mv", "ln", "chmod", "chown", "journalctl", "pytest",
     "ctags", "diff", "sort", "uniq", "wc", "nginx", "apache2", "httpd", "systemctl", "service", "tree",
     "file", "stat", "du", "df", "rsync", "tar", "make", "cmake", "ninja", "gcc", "g++", "clang", "echo",
     "printf", "logger", "which", "type", "help", "info", "whatis", "dpkg", "apt", "apt-get", "yum", "dnf",
     "rpm", "pacman", "brew", "getent", "scp", "chgrp", "install"}
)  # fmt: skip
BARE_NAMED = frozenset(  # tools in whose texts a name and its secret are two words
    {"nmcli", "rclone", "npm", "pnpm", "yarn", "aws", "gcloud", "wpa_cli", "redis-cli", "valkey-cli", "git",
     "pip", "poetry", "composer", "bundle", "ifconfig", "networksetup", "gsettings", "wp", "drush", "db2",
     "mosquitto_ctrl", "interface", "crypto", "username", "enable", "snmp-server", "radius", "tacacs-server",
     "machine", "default", "login"}
)  # fmt: skip
NAMING = frozenset(
    {"gcloud", "aws", "az", "kubectl", "docker", "podman", "vault", "gh", "oc", "doctl", "scw", "infisical"}
)
ORACLE = frozenset({"sqlplus", "sql", "sqlcl", "rman", "expdp", "impdp", "sqlldr", "exp", "imp"})


@dataclass(frozen=True, slots=True)
class Tool:
    """Options by their spelling → how their value is read; operand forms, each a tuple of words."""

    options: Mapping[str, str] = field(default_factory=dict)
    with_verb: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    forms: tuple[tuple[str, ...], ...] = ()
    letters: str = ""
    """The short ones of `options`, which may end a cluster (`curl -sSu`)."""


def _read_options() -> dict[str, tuple[dict[str, str], dict[str, dict[str, str]]]]:
    found: dict[str, tuple[dict[str, str], dict[str, dict[str, str]]]] = {}
    for line in _OPTIONS.replace("\n  ", " ").strip().splitlines():
        names, _colon, words = line.partition(": ")
        manners = {}
        for word in words.split():
            name, _equals, manner = (word, "", "") if word.endswith("=") else word.partition("=")
            manners[name.rstrip("+")] = "attached" if name.endswith("+") else manner or "secret"
        for name in names.split():
            tool, _bracket, verb = name.rstrip("]").partition("[")
            plain, with_verb = found.setdefault(tool.lower(), ({}, {}))
            (with_verb.setdefault(verb, {}) if verb else plain).update(manners)
    return found


def _read_operands() -> dict[str, list[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for line in _OPERANDS.replace("\n  ", " ").strip().splitlines():
        names, _colon, words = line.partition(": ")
        for name in names.split():
            found.setdefault(name, []).append(tuple(words.split()))
    return found


def _read_tools() -> dict[str, Tool]:
    """Tools that read alike are one value: a table of their own for each would be 200 kB."""
    options, operands = _read_options(), _read_operands()
    tools = {}
    alike: dict[str, Tool] = {}
    for name in options.keys() | operands.keys():
        plain, with_verb = options.get(name, ({}, {}))
        letters = "".join(option[1] for option in plain if len(option) == 2 and plain[option] != "attached")
        tool = Tool(plain, with_verb, tuple(operands.get(name, ())), letters)
        tools[name] = alike.setdefault(repr(tool), tool)
    return tools


TOOLS: Mapping[str, Tool] = _read_tools()


_FIRST_WORD = re.compile(r"(?:[A-Za-z_]\w{0,60}=\S{0,200}\s){0,8}(\S{1,200})\s")
_PROGRAM_FIRST = re.compile(
    r"(?:[A-Za-z0-9_.~-]{0,80}/){0,12}[a-z][\w.+-]{0,60}[ \t]+(?:[^\s:=.,;-]|-{1,2}[A-Za-z])"
)
_SENTENCE = re.compile(
    r"(?<![\w-])(?:the|is|are|was|were|has|have|had|been|be|of|and|that|this|which|because|an?|could|can't|cannot"
    r"|did|does|not|it|its|by|or|but|when|for|expire[sd]?|failed|invalid|incorrect|wrong|changed|required)"
    r"(?![\w,:=/-])|[.!?] [A-Z]",
    re.I,
)
_TOOL_NAME = re.compile(r"[\"']*(?:.*[\\/])?([^\\/]*?)(?:\.exe|\.cmd|\.bat)?[\"']*", re.S | re.I)
_OPTION_WORD = re.compile(r"\s-{1,2}[A-Za-z]")


def is_command_line(text: str) -> bool:
    """Tell whether a text begins with a tool of the tables or a path, and has an option: no prose does."""
    first = _FIRST_WORD.match(text)
    if first is None or _OPTION_WORD.search(text, first.end(1), first.end(1) + 400) is None:
        return False
    name = tool_name(first[1])
    return name in TOOLS or name in CARRIERS or name in ORACLE or first[1].startswith(("/", "./"))


def may_be_command_line(text: str) -> bool:
    """Tell whether a text has a program's name and words behind it, and none that only sentences have."""
    return _PROGRAM_FIRST.match(text) is not None and _SENTENCE.search(text, 0, 2_000) is None


def tool_name(word: str) -> str:
    """The name of a tool as the tables have it: `/usr/bin/curl` and `curl.exe` are `curl`."""
    found = _TOOL_NAME.fullmatch(word) if len(word) <= 200 else None
    return found[1].lower() if found else ""
