"""Places of secrets in commands of tools that no table has, and in what shells and languages run, by kind.

`{}` is the secret as one word of the list, `{q}` as a shell quotes it, `{n}` one without blanks or signs.
"""

from __future__ import annotations

import random
import shlex
import string

PLACES = {
    "beside a login": """
        orderctl login bob {} | java -jar app.jar bob {} | ./deploy.sh prod bob {} | salt * shadow.set_password bob {}
        bin/console app:create-user bob {} | ejabberdctl register bob x.example {} | rails user:create[bob,{n}]
        paygate --as bob:{} list | sshd2 -l root:{} -vm x | netctl join -U admin%{n} | importer --source-login bob/{n}
        billing --db-dsn app/{n}@shop | stats auth bob:{} | steam2 -login fred {} | davmount x -o user=bob:{n}
        shopctl useradd bob -p {} | portal login bob@x.example {} | portal login ops {} | cvs2 -d :pserver:bob:{n}@h:/cvs login""",
    "behind a letter": """
        frob -p {} x | frob -u bob -p {} x | java -jar x.jar -p {} -u bob | frob -u bob -P {} | frob -u bob -k {} | frob -u bob -w {}
        sudo frob -u bob -p {} x | frob sync -u bob -p {} --dry-run""",
    "behind a verb": """
        frob authenticate {} | frob unlock {} | frob secret set db {} | frob credentials add mail {}
        openssl passwd -6 {} | bw unlock --raw {} | caddy hash-password --plaintext {} | vault operator unseal -migrate {}
        grafana-cli --homepath /usr/share/grafana admin reset-admin-password {} | ngrok config add-authtoken --log=stdout {}
        frob set db.password {} | frob config set DB_PASS {} | frob set-env app DB_PASS {}
        srcds +rcon_password {} +map x | frob door_password set {}""",
    "behind a name": """
        frob --unlock-code {} | frob --alarm-code={} | frob --hmac {} | frob --cookie-salt {} | frob --pepper {}
        frob -pwd:{} | frob --token:{} x | frob -db-password:{} -usr:bob
        frob --password-command 'echo {}' | frob --password-command='printf %s {}' x
        frob --join-key {} | frob --sharedkey {} | frob --mpass {} | frob --src-pass {} | frob --bindpw {}
        frob --snmp-community {} | frob --recovery-phrase {} | frob --redis.auth={} | frob Account:remotepass={} | frob knife[:password]={}
        pt-table-sync h=db1,u=app,p={n} h=db2 | qemu -object secret,id=s0,data={n} | redis-cli -u redis://default:{n}@c/0 | frob login fred {n}
        teamviewer passwd {n} | frob 'machine h login bob password {n}' | frob '<add key="DbPassword" value="{n}"/>' | frob /u bob /p {n}
        frob --set env[0].name=API_SECRET,env[0].value={n} | frob --define '_gpg_passphrase {n}'""",
    "for a shell": """
        sh -c "frob --password {q} -v" | bash -lc "export DB_PASSWORD={q}; run" | su app -c "frob --password {q}"
        ssh h "frob -u bob -p {q} x" | ssh h "sudo sh -c \\"frob --token {n}\\"" | docker exec db sh -c "mysql -p{q} -e x"
        find /x -exec 7z a -p{} y ; | watch -n5 "mysqladmin -uroot -p{q} status" | tmux new -d "frob --secret {q}"
        sh -c "frob -stdin x <<< {q}" | sh -c "echo {q} > /etc/app/secret" | bash -c "vpn --askpass <(echo {q})" | sh -c "DB_PASSWORD={q} ./run -v"
        nsenter -t 1 -a sh -c "frob --pass {q}" | ansible all -a "/bin/frob --pass {q}" | ssh -o "ProxyCommand=sshpass -p {n} ssh j" h
        env FROB_OPTS="--token {n} -v" java x | sh -c 'crontab -l <<< "0 1 * * * bk --password {n}"' | adb shell "am start --es password {n}"
        frobconsole "login bob {n}" | frobconsole "manager set secret bob {n}" | frobconsole -x "use x; set SMBPass {n}; run" """,
    "in a language": """
        python -c "pymysql.connect('h','root','{n}','shop')" | node -e "jwt.sign({a:1}, '{n}')" | python -c "hmac.new(b'{n}', b'x', 'sha256')"
        python manage.py shell -c "User.objects.create_superuser('bob', 'a@b.c', '{n}')" | php -r "echo bcrypt('{n}');"
        psql -c "ALTER ROLE app PASSWORD '{n}'" | sqlcmd -Q "ALTER LOGIN sa WITH PASSWORD = N'{n}'" | mysql -e "SELECT AES_DECRYPT(c, '{n}')"
        php x.php "SET PASSWORD FOR bob = '{n}'" | sqlite3 x "PRAGMA key = '{n}'" | expect -c "spawn su; expect Pass; send {n}\\\\r"
        aws ecs x '[{"name":"API_SECRET","value":"{n}"}]' | mysql -e "INSERT INTO c (user, pw) VALUES ('u', '{n}')" | php -r "ftp_login(x, 'u', '{n}');" | python -c "FTP('h','u','{n}')"
        perl -e '$ENV{DB_PASS}="{n}"; do "x.pl"' | jq -n --arg pw {} x | python -c "send(b'AUTH {n}')" | curl x -d '{"user":"bob","password":"{n}"}'""",
}
# `frob {}`, `frob init {}` and `frob --header={}` are not among them: unannounced, such a word is the id of a container,
# job, node or disk, or a checksum, far more often than a secret.
MACHINE_MADE = """frob auth {} | frob --token-store x {} | frob --claim {} | frob auth set -t {} | env MASTER={} ./app | frob --appid={}"""
INNOCENT = """
    wget --ask-password https://x.example | ansible --ask-become-pass all | frob --prompt-password web1 | frob -auth-type:basic x
    frob -p 8080 -w 10 -k 5 | frob -u bob -p 8080 | frob --as bob list | frob --key prod/x.tfstate | frob --exit-code 3 | frob -p tcp
    docker run -u bob:staff img | chown root:shadow x | lxc launch ubuntu:22.04 c1 | getent passwd bob | useradd -G sudo bob | sshd: bob [priv]
    frob --commit 4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c | frob -id 550e8400-e29b-41d4-a716-446655440000 | env GIT_COMMIT=4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c ./x
    Xorg :0 -auth /run/user/1000/gdm/Xauthority | mount x -o credentials=/etc/smb.cred,uid=1 | git commit -m "auth: token refresh is retried"
    frob login --identity | frob auth list | sh -c "echo hello > /tmp/out" | sh -c "sort <<< hello" | pytest tests/test_auth.py -k "token and not slow"
    sonar-scanner -Dsonar.projectKey=shop | frob --tokenizer bert --seed 42 | ssh h "sudo systemctl restart app && tail -n 50 /var/log/app.log"
    sbatch -p gpu job.sh | cargo test -p mycrate | frob secret list | frob user add bob | mvn -P release package | frob set volume high
    git commit -m "auth: reject expired tokens" | git commit -m "password: use argon2id instead of bcrypt" | yarn add react-password-checklist@^1.5.0
    pip install x --hash=sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae | cargo add secrecy password-hash@0.5.0
    go get golang.org/x/crypto@v0.0.0-20240119172859-1b2c3d4e5f60 | cargo test auth::token::tests::expired | gradle :auth:test --tests *TokenTest*
    bazel test //auth/password:hasher_test | docker run -v db-password-volume:/run/secrets:ro app | docker run --secret id=npmrc,src=/home/u/.npmrc img
    docker secret create db_password ./db_password.txt | kubectl describe secret default-token-x2x9z | helm x --set auth.existingSecret=pg-credentials
    kubectl get pods -l app=token-service,pod-template-hash=7d9c6b8f5d | aws x --secret-id arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf
    curl https://x.example/items?page=2&sort=-created_at | curl -H "Authorization: @/run/token" https://x.example | curl -u $USER:$TOKEN https://x.example
    wget --load-cookies=cookies.txt https://x.example/f | mysqldump --user backup --password shop | openvpn --auth-user-pass /etc/openvpn/login.txt
    restic -r sftp:backup@nas:/srv/restic snapshots | bw get password github.com | psql postgresql://app@db:5432/shop | redis-cli GET token:user:42
    train --pad-token <pad> --eos-token-id 2 | mkfs.ext4 -U 9c8b7a6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d /dev/sdb1 | hcloud x --ssh-key bob@laptop | tldr -p path/to/page
    minidlna -P path/to/pidfile | http-server public/html -w 80 | gnmic -a ip:port sub | mutt -s "Password policy" -a policy.pdf -- staff@example.org
    master -o smtp_sasl_password_maps=hash:/etc/postfix/sasl -o smtpd_use_auth=no | sshd -D -o PermitRootLogin=no -o ChallengeResponseAuthentication=yes
    mysqld --character-set-server=utf8mb3 --collation-server=utf8mb4_bin | node --dns-result-order=ipv6first | ip link set wlp0s20f3 up | ip link set eno1np0 up
    Runner.Listener startworker | Rscript x.R Uusimaa Keskipohjanmaa | notify-send 'Tallennus onnistui' | adb -s RF8N40QXYZT shell
    containerd-shim -id x run 4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c | flink run -s 4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c
    redis-cli --cluster forget 4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c4f5a6b7c | multipath -f 3600a0b80001234560000abcd5e6f7a8b | coredumpctl gdb 4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c
    VBoxManage showvminfo 550e8400-e29b-41d4-a716-446655440000 | kubectl get pv pvc-550e8400-e29b-41d4-a716-446655440000 | dmsetup info luks-550e8400-e29b-41d4-a716-446655440000
    promtool tsdb dump 01HQ3Z5V7W8X9Y0ABCDEFGHJKM | exim4 -Mvl 1rXyZ2-00000003Abc-9DeF | ipfs cat bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi
    gpg --recv-keys 0123456789ABCDEF0123456789ABCDEF01234567 | duplicity full --encrypt-key 1A2B3C4D --sign-key 0A1B2C3D4E5F6071 /home file:///b
    build --install_md5=4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b9c | geth --authrpc.jwtsecret /var/lib/jwt.hex --miner.etherbase 0x1f2e3d4c5b6a79880716253443526170f1e2d3c4
    vgcfgrestore --uuid qWeRt1-2yUi-3oPa-4sDf-5gHj-6kLz-7xCvB8 vg | link -buildid aB3dE6gH9jK2mN5pQ8sT/vW1yZ4bC7eF0hI3kL6nO -o x | smartctl -a /dev/disk/by-id/ata-Samsung_SSD_870_EVO_S5Y2NX0R
    zpool attach tank ata-ST4000VN008-2DR166_ZDH7ABCD nvme-WD_BLACK_SN850X_22413W800123 | grep SHA256:Zk3vQ8mT1xW6yB9nC2pL5sD7fG0hJ4rKqEaUiOoPbNv auth.log
    target/debug/deps/token_store-4f5a6b7c8d9e0f1a --nocapture | gzip dist/reset-password-4f5a6b7c8d9e0f1a.js | hdfs dfs -cat part-00003-550e8400-e29b-41d4-a716-446655440000-c000.parquet
    mpv https://v.example/watch?v=aB3dE6gH9jK&t=1m | curl https://x.example/w?oldid=1234567890&action=raw | curl https://x.example/meet?confno=12345678901
    redis-cli --askpass DBSIZE | restic --password-command 'pass show nas' check | sudo -A -p 'Passwort: ' true | python -c 'import getpass; getpass.getpass("Kennwort: ")'
    dialog --passwordbox 'Enter it' 8 40 | loginctl show-user bob -p State | kubectl patch deploy x -p '{"spec":{"paused":true}}' | minikube stop -p login-lab
    git commit -m 'Passwort-vergessen-Seite: Umlaute berichtigt' | mount -o compress=zstd:1,subvol=@ /dev/sda2 /mnt | Xorg -auth /run/lightdm/seat/:1 vt7
    beeline -u 'jdbc:hive2://h.example:10000/x;principal=hive/_HOST@X.EXAMPLE' | helm x --set auth.secretKeys.replicationPasswordKey=repl-password
    pamtester sshd bob authenticate | net ads testjoin | etcd --auth-token=simple --initial-cluster-token=etcd-cluster-2
    celery -A proj -Q lasku,sahkoposti | systemd-run --unit kirjautuminen x | argocd app get przypomnienie | espeak 'Hyvää huomenta' | frob --select stg_felhasznalok
    wal-g wal-fetch base_000000020000001B000000D5 /srv | chrome --enable-features=kWebRTCPipeWireCapturer | ethtool -i ens6f1np1 | avrdude -p attiny85x -c x
    curl https://x.example/v1?hourly=temperature_2m,relativehumidity_2m | openconnect --user bob vpn.example.org | lpadmin -p toimisto -c lk
    syncthing cli show --id ABCDEF2-GHIJKL3-MNOPQR4-STUVWX5-YZABCD6-EFGHIJ7-KLMNOP2-QRSTUV3 | kaniko --destination=r.example/auth:4f5a6b7 | lpr -P HP_LaserJet_M402 x.pdf
    cassandra -Dcassandra.initial_token=-9223372036854775808 | restic --password-command 'cat /run/nas' check
    mencoder -x264encopts pass=1:turbo:me=umh a.avi | gh issue list --search 'token in:title' | sed 's/.*token=\\([^&]*\\).*/\\1/' a.log
    grep -E 'password=.+' f | rg 'secret=\\S+' | pacman-key --lsign-key 0BCE4DD8D3E32F2F75E24244A424E7263AC195FB | gpg --recv-keys 0BCE4DD8D3E32F2F
    curl 'http://prom:9090/api/v1/query?query=sum(rate(http_requests_total{job=\"auth\"}[5m]))' | nodetool -h c1 -p 7199 status
    curl http://es:9200/_cat/indices?v&s=store.size:desc&bytes=gb | kadmin.local -q 'addprinc -randkey HTTP/web1.example.org'
    npm install types/node@18 | docker pull r.example/auth@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae | kinit -k HTTP/web01.example.org@EXAMPLE.ORG
    signtool sign /fd SHA256 /tr http://ts.example /td SHA256 x.exe | frob pip install pinboard | gpio read pin 17
    homectl passwd ingrid | pveum passwd ingrid@pve | qm guest passwd 100 ingrid | systemd-cryptenroll --password /dev/sda3 | psql --password shop
    pg_dump -h db --password shop | influx -host db1 -port 8086 | img2pdf a.jpg --pagesize 30cmx20cm | montage --tile 1920x1080
    sfdk config target=SailfishOS-5.0.0.62-aarch64 | steamcmd +login anonymous +app_update 740 +quit | rlogin -l bob webserver
    evil-winrm --priv-key data/keys/winrm | sqlmap --url x --data=query=foobar;page=1 | openssl passwd -apr1 | rabbitmqctl add_user ingrid
    kubectl patch sa default -p '{"imagePullSecrets": [{"name": "regcred"}]}' | istioctl proxy-config secret ingress-7d9c6b8f5d-x2x9z.istio-system
    curl https://x.example/wiki/Password_manager?action=history | xdg-open https://x.example/signin?continue=https%3A%2F%2Fmail.example.org
    gpg --export-secret-key ingrid | gpg --delete-secret-key 'Ingrid Bergman' | npm config set '//r.example/:_authToken=${NPM_TOKEN}'
    helper --type=gpu --session-id=12345 | frob login-page --theme dark | frob --team ops restart
"""
_WORDS = (
    "dragon", "sunshine", "monkey", "butterfly", "geheim", "wintertime",
    "swordfish", "football", "kitchen", "rosebud", "orange", "mustang",
)  # fmt: skip


def secrets(seed: int) -> dict[str, str]:
    """One secret of every look."""
    dice = random.Random(seed)

    def made(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
        return "".join(dice.choice(alphabet) for _ in range(length))

    hex32 = made(31, "0123456789abcdef") + "7"
    return {
        "word": dice.choice(_WORDS),
        "two words": "-".join(dice.sample(_WORDS, 2)),
        "word and number": f"{dice.choice(_WORDS).title()}2024",
        "mixed": made(11) + "x7",
        "signs": f"{dice.choice(_WORDS).title()}!{made(2, string.digits)}",
        "hex": hex32,
        "uuid": f"{hex32[:8]}-{hex32[8:12]}-4{hex32[13:16]}-a{hex32[17:20]}-{hex32[20:]}",
        "not ascii": f"schlüssel{made(3)}",
        "blanks": " ".join(dice.sample(_WORDS, 3)),
        "quote": f"it's{made(5)}",
    }


def lines(text: str) -> list[str]:
    return [line for row in text.strip().splitlines() for line in map(str.strip, row.split(" | ")) if line]


def planted(line: str, look: str, secret: str) -> list[str] | None:
    """The argument list with the secret in its place; None where this look can't stand there."""
    if ("{n}" in line and look in ("blanks", "quote", "signs")) or ("'{n}" in line and look == "quote"):
        return None
    words = shlex.split(line)
    return [
        word.replace("{n}", secret).replace("{q}", shlex.quote(secret)).replace("{}", secret)
        for word in words
    ]
