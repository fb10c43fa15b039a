"""Command lines with a planted secret, after the manuals of their tools, and others that hold none.

`%S` is a password as people choose one, `%L` one of lower case letters, `%H` hex, `%T` random letters and
digits. They are made when the tests run, so that nothing here looks like a credential. (More than 400 lines: a list.)
"""

from __future__ import annotations

import random
import shlex
import string

_MIXED = string.ascii_letters + string.digits

SECRET = r"""
psql 'host=db user=app password=%S dbname=shop'
psql 'postgresql://app:%S@db:5432/shop?sslmode=require'
pg_dump --dbname=postgresql://app:%S@db/shop
pgbench -U app 'host=h password=%S'
mysql --user=root --password=%S
mysqldump -h db -u root -p%S --all-databases
mysqladmin -u root password %S
mariadb-dump -uroot -p%S shop
mysql -e "CREATE USER 'x'@'%' IDENTIFIED BY '%S'"
psql -c "ALTER USER app WITH PASSWORD '%S'"
psql -c "CREATE ROLE r LOGIN ENCRYPTED PASSWORD '%S'"
mysqlsh root:%S@db:3306
mongosh mongodb+srv://u:%S@cluster.example.org/db
mongodump -u admin -p %S --authenticationDatabase admin
mongorestore --username=u --password=%S dump
redis-cli -u redis://default:%S@cache:6379
redis-cli --user x --pass %S PING
redis-cli -a %S --no-auth-warning INFO
redis-cli CONFIG SET masterauth %S
redis-cli ACL SETUSER bob on >%S ~* +@all
redis-server --requirepass %S --port 6380
influx -username admin -password %S
influx query --token %T
clickhouse-client --user default --password %S -q 'select 1'
cqlsh -u cassandra -p %S db
cypher-shell -u neo4j -p %S
sqlcmd -S db -U sa -P %S -Q 'select 1'
bcp t out f.dat -S db -U sa -P%S -c
tsql -S srv -U sa -P %S
isql mydsn bob %S
sqlplus system/%S@//db:1521/XE
sqlplus -L scott/%S@orcl @x.sql
expdp scott/%S@orcl directory=d
java -jar app.jar jdbc:oracle:thin:scott/%S@//db:1521/x
java -jar app.jar 'jdbc:postgresql://db/x?user=u&password=%S'
java -jar app.jar 'jdbc:sqlserver://db;user=sa;password=%S;'
java -Dspring.datasource.password=%S -jar a.jar
java -Djavax.net.ssl.trustStorePassword=%S Main
java -cp a.jar Main --spring.redis.password=%S
keytool -list -keystore k.jks -storepass %S
keytool -genkeypair -keypass %S -alias a
jarsigner -storepass %S a.jar key
apksigner sign --ks k.jks --ks-pass pass:%S a.apk
db2 connect to sample user bob using %S
snowsql -a acc -u bob --password %S
hdbsql -n h -u SYSTEM -p %S
vsql -h h -U u -w %S
couchbase-cli bucket-list -c h -u Administrator -p %S
arangosh --server.password %S
etcdctl --user=root:%S member list
consul kv get -token=%T x
vault login %T
vault kv put secret/db password=%S
vault kv put -mount=secret x token=%S
vault write auth/userpass/users/bob password=%S
vault unseal %T
nomad status -token %T
curl -u bob:%S https://api.example.org
curl --user bob:%S https://api.example.org
curl -sSfu bob:%S https://api.example.org
curl -ubob:%S https://api.example.org
curl -U proxy:%S -x proxy:8080 https://x.example
curl --proxy-user p:%S https://x.example
curl -H 'Authorization: Bearer %T' https://x.example
curl -H 'Authorization: Token %H' https://x.example
curl -H 'X-Auth-Token: %H' https://x.example
curl -H 'apikey: %T' https://x.example
curl -H 'Ocp-Apim-Subscription-Key: %H' https://x.example
curl -H 'Api-Key:%T' https://x.example
curl -H 'X-Vault-Token: %T' https://x.example
curl -b 'session=%H' https://x.example
curl --cookie session=%H https://x.example
curl -d 'user=bob&password=%S' https://x.example/login
curl -d '{"user":"bob","password":"%S"}' https://x.example/login
curl --data-raw '{"client_secret": "%T"}' https://x.example
curl -F token=%T -F file=@x https://x.example
curl -E client.pem:%S https://x.example
curl --cert client.pem:%S https://x.example
curl --oauth2-bearer %T https://x.example
curl 'https://x.example/a?access_token=%T'
curl 'https://x.example/login#token=%T'
curl --pass %S --key k.pem https://x.example
wget --user=u --password=%S https://x.example
wget --header='Authorization: Bearer %T' https://x.example
wget 'https://bob:%S@x.example/f'
http -a bob:%S x.example
http x.example 'Authorization:Bearer %T'
xh --auth bob:%S x.example
aria2c --http-passwd=%S https://x.example
lftp -u bob,%S sftp://h
lftp -c 'open -u bob,%S ftp.example.org; ls'
ncftpput -u bob -p %S h / f
ftp ftp://bob:%S@h/f
sshpass -p %S ssh h
sshpass -p%S scp f h:
sshpass -p '%S' rsync -a x h:y
plink -ssh -pw %S bob@h
pscp -pw %S f bob@h:
smbclient //srv/share -U bob%%S
smbclient //srv/share -U 'DOM\bob%%S'
smbclient -U bob //srv/share %S
rpcclient -U DOM/bob%%S srv
mount -t cifs //srv/s /m -o username=bob,password=%S
mount.cifs //srv/s /m -o user=bob,pass=%S
sshfs -o password_stdin,password=%S h: /m
curlftpfs -o user=bob:%S h /m
nxc smb h -u bob -p %S
evil-winrm -i h -u bob -p %S
impacket-psexec DOM/bob:%S@h
secretsdump.py 'DOM/bob:%S@10.0.0.7'
hydra -l bob -p %S ssh://h
xfreerdp /u:bob /p:%S /v:h
rdesktop -u bob -p %S h
vncviewer -passwd-text=%S h
x11vnc -passwd %S
openfortivpn h -u bob -p %S
openfortivpn h --username=bob --password=%S
openvpn --config c --auth-user-pass-text=%S
snx -s h -u bob -p %S
nordvpn login --token %T
tailscale up --authkey %T
tailscale up --auth-key=%T
wpa_passphrase Home %S
nmcli dev wifi connect Home password %S
nmcli con modify Home wifi-sec.psk %S
iwctl --passphrase %S station wlan0 connect Home
wg set wg0 private-key %T
ldapsearch -x -D cn=admin -w %S -b dc=x
ldapmodify -D cn=admin -w%S -f x.ldif
ldappasswd -D cn=admin -w %S -s %S uid=bob
slappasswd -s %S
kadmin -p admin -w %S listprincs
sh -c 'echo %S | kinit bob'
sh -c "printf '%s' '%S' | sudo -S true"
sh -c 'printf "%S\n" | su - bob'
bash -c 'sudo -S apt update <<< %S'
bash -c 'echo "%S" | docker login -u bob --password-stdin'
bash -c 'echo %S | cryptsetup luksOpen /dev/sdb x'
bash -c 'echo bob:%S | chpasswd'
bash -c 'echo %S | gpg --batch --passphrase-fd 0 -d f'
bash -c 'echo -n %S | passwd --stdin bob'
bash -lc 'export DB_PASSWORD=%S; run'
bash -c "PGPASSWORD='%S' psql -h db"
su -c 'mysql -uroot -p%S' root
ssh h 'mysql -uroot -p%S shop'
ssh h "sudo sh -c 'curl -u bob:%S https://x.example'"
docker exec db mysql -uroot -p%S shop
kubectl exec -it db-0 -- psql postgresql://u:%S@localhost/x
expect -c 'spawn su; expect "Password:"; send "%S\r"'
docker login -u bob -p %S registry.example.org
docker login --username bob --password %S
docker run -e POSTGRES_PASSWORD=%S postgres
docker run --env MYSQL_ROOT_PASSWORD=%S mysql
docker build --build-arg GITHUB_TOKEN=%T .
docker service create --env API_KEY=%T img
podman login -p %S -u bob quay.io
skopeo copy --src-creds bob:%S docker://a docker://b
helm registry login -u bob -p %S r
helm install x c --set auth.password=%S
helm upgrade x c --set-string db.rootPassword=%S
kubectl create secret generic x --from-literal=password=%S
kubectl create secret docker-registry r --docker-password=%S
kubectl --token=%T get pods
kubectl config set-credentials bob --token=%T
kubectl config set-credentials bob --password=%S
oc login --token=%T
oc login -u bob -p %S
argocd login h --username admin --password %S
rancher login h --token %T
aws configure set aws_secret_access_key %T
aws rds create-db-instance --master-user-password %S
aws ssm put-parameter --name x --type SecureString --value %S
aws secretsmanager create-secret --name x --secret-string %S
aws cognito-idp admin-set-user-password --password %S
az login --service-principal -u id -p %S --tenant t
az storage blob list --account-key %T
az sql server create --admin-password %S
az keyvault secret set --vault-name v --name n --value %S
gcloud sql users set-password root --password=%S
gcloud auth login --access-token %T
doctl auth init -t %H
doctl auth init --access-token %H
heroku config:set SECRET_KEY=%T
fly secrets set DB_PASSWORD=%S
vercel --token %T
netlify deploy --auth %T
wrangler secret put X --api-token %T
pulumi config set --secret dbPassword %S
pulumi config set db:password %S --secret
terraform apply -var db_password=%S
terraform plan -var 'token=%T'
packer build -var 'password=%S' x.pkr
ansible-playbook s.yml -e ansible_ssh_pass=%S
ansible-playbook s.yml --extra-vars '{"db_password": "%S"}'
ansible all -m user -a 'name=bob password=%S'
ansible-vault encrypt_string %S
salt-call --local user.present password=%S
knife bootstrap h -P %S
chef-client --token %T
vagrant cloud auth login --token %T
virt-customize --root-password password:%S
qemu-system-x86_64 -object secret,id=s0,data=%S
qemu-system-x86_64 -vnc :0,password=%S
ipmitool -H h -U root -P %S power status
ipmitool -H h -U root -E user set password 2 %S
racadm -r h -u root -p %S getsysinfo
snmpwalk -v2c -c %S h
snmpget -v3 -u bob -A %S -X %S h
openssl enc -aes-256-cbc -pass pass:%S -in f
openssl rsa -in k -passin pass:%S
openssl pkcs12 -export -passout pass:%S
openssl enc -aes-256-cbc -k %S -in f
openssl enc -aes-256-cbc -K %H -iv 0
gpg --batch --passphrase %S -d f
gpg --passphrase=%S -c f
ssh-keygen -t ed25519 -N %S -f k
7z a -p%S a.7z f
zip -P %S a.zip f
unzip -P %S a.zip
rar a -hp%S a.rar f
unrar x -p%S a.rar
pdftk a.pdf output b.pdf user_pw %S
pdftotext -upw %S a.pdf
qpdf --password=%S --decrypt a b
gs -sPDFPassword=%S f.pdf
steghide embed -p %S -cf a -ef b
cryptsetup luksOpen --key-file=- --password=%S /dev/sdb x
veracrypt --text --password=%S v /m
restic -r s3:x backup --password-command 'echo %S'
borg init --encryption=repokey ssh://bob:%S@h/r
duplicity /d ftp://bob:%S@h/b
rclone obscure %S
rclone config create r s3 secret_access_key %T
rclone copy a r: --sftp-pass %S
duplicati-cli backup x --passphrase=%S
kopia repository connect s3 --secret-access-key %T
s3cmd --secret_key=%T ls
mc alias set m http://h AKEY %T
git clone https://bob:%S@git.example.org/r.git
git clone https://%T@github.com/o/r.git
git -c http.extraheader='Authorization: Bearer %T' fetch
git push https://oauth2:%T@gitlab.example.org/r
gh auth login --with-token %T
glab auth login --token %T
hub --token %T pr
svn co --username bob --password %S https://x.example/r
hg clone https://bob:%S@x.example/r
p4 -u bob -P %S sync
npm config set //registry.example.org/:_authToken %T
npm publish --//npm.example.net/:_authToken=%T
npm login --auth %S --otp 482913
yarn config set npmAuthToken %T
pip install --proxy http://bob:%S@proxy.example.org x
twine upload -u bob -p %S dist/x
poetry config http-basic.x bob %S
poetry config pypi-token.pypi %T
cargo login %T
cargo publish --token %T
gem push x.gem --key %T --otp 123456
nuget push x.nupkg -ApiKey %T
dotnet nuget push x.nupkg -k %T
dotnet user-secrets set Db:Password %S
conan user -p %S -r x bob
composer config http-basic.x.example bob %S
mvn deploy -Dpassword=%S
gradle build -PnexusPassword=%S
sonar-scanner -Dsonar.login=%H
sentry-cli --auth-token %T releases list
codecov -t %T
jenkins-cli -auth bob:%S list-jobs
gitlab-runner register --registration-token %T
buildkite-agent start --token %T
circleci setup --token %T
swaks --to a@b.example -au bob -ap %S
sendemail -xu bob -xp %S -t a@b
msmtp --passwordeval 'echo %S'
mailx -S smtp-auth-password=%S a@b
curl smtp://h -u bob:%S
imapsync --user1 a --password1 %S --user2 b --password2 %S
fetchmail --password %S
mosquitto_pub -u bob -P %S -t x
mqtt pub -u bob -pw %S -t x
mosquitto_passwd -b f bob %S
htpasswd -b f bob %S
htpasswd -nbB bob %S
rabbitmqctl add_user bob %S
rabbitmqctl change_password bob %S
rabbitmqadmin -u bob -p %S list queues
rabbitmqadmin declare user name=bob password=%S tags=administrator
kafka-console-producer --producer-property 'sasl.jaas.config=x required username="bob" password="%S";'
kcat -X sasl.password=%S -L
nats --user bob --password %S sub x
celery -A x -b amqp://bob:%S@mq// worker
airflow users create --username a --password %S
superset fab create-admin --password %S
django-admin createsuperuser --password %S
wp user create bob b@x.example --user_pass=%S
drush user:password bob %S
mysql_secure --root-password=%S
jupyter lab --ServerApp.token=%T
jupyter lab --NotebookApp.password=%S
wandb login %H
huggingface-cli login --token %T
hf auth login --token %T
kaggle competitions list --key %H
openai api --api-key %T
spark-submit --conf spark.hadoop.fs.s3a.secret.key=%T x.py
beeline -u jdbc:hive2://h -n bob -p %S
sqoop import --password %S
hadoop fs -Dfs.s3a.secret.key=%T -ls s3a://x
ffmpeg -i in -f flv rtmp://live.example.org/app/live_%T
ffmpeg -i 'rtsp://bob:%S@cam/stream' out.mp4
vlc rtsp://bob:%S@10.0.0.9/stream
obs --stream-key %T
yt-dlp -u bob -p %S https://x.example/v
steamcmd +login bob %S +quit
bitcoin-cli -rpcpassword=%S getinfo
bitcoin-cli walletpassphrase %S 60
geth --password-text=%S
node app.js --jwt-secret %S
python manage.py runserver --secret-key=%T
python -c "import db; db.connect('h', 'bob', '%S')"
python -c "import os; os.environ['API_TOKEN'] = '%T'"
python3 -c "requests.get(u, auth=('bob', '%S'))"
node -e "login('bob', '%S')"
ruby -e "Client.new(password: '%S')"
ruby -e "ENV['DB_PASSWORD'] = '%S'"
perl -e 'DBI->connect("dbi:x", "bob", "%S")'
php -r "define('DB_PASSWORD', '%S');"
php -r '$conf["password"] = "%S";'
powershell -Command "ConvertTo-SecureString '%S' -AsPlainText -Force"
powershell -c "$p = ConvertTo-SecureString -String %S -AsPlainText"
net use X: \\srv\share %S /user:bob
cmdkey /add:h /user:bob /pass:%S
psexec \\h -u bob -p %S cmd
schtasks /create /ru bob /rp %S
wmic /user:bob /password:%S os get
app '<connection><password>%S</password></connection>'
app '<add key="ApiKey" value="%S"/>'
app 'Server=db;Database=x;User Id=sa;Password=%S;'
app 'DefaultEndpointsProtocol=https;AccountName=x;AccountKey=%T;'
app 'Endpoint=sb://x.example/;SharedAccessKeyName=r;SharedAccessKey=%T'
app '{"auth": {"user": "bob", "password": "%S"}}'
app "{'api_key': '%T'}"
app 'password: %S'
app --password '%S with blanks'
app --db.password=%S
app --dbPassword=%S
app -password %S
app --pwd %S
app --passwd=%S
app --passphrase %L
app --token %L
app --secret %L
app --auth bob:%S
app --basic-auth bob:%S
app --credentials bob:%S
app --api-key %T
app --apikey=%T
app --private-key %T
app --client-secret=%S
app --access-token=%T
app --login bob:%S
app --admin-password=%S
app --rootpw %S
app API_TOKEN=%T
env SECRET_KEY_BASE=%H rails s
env AWS_SESSION_TOKEN=%T aws s3 ls
env GITHUB_TOKEN=%T gh pr list
env DATABASE_URL=postgres://u:%S@h/d app
env SMTP_PASS=%S app
env REDISCLI_AUTH=%S redis-cli
env MYSQL_PWD=%S mysql
env SSHPASS=%S sshpass -e ssh h
'worker: login bob password=%S'
'nginx: proxy https://bob:%S@backend/'
xmllint --shell https://bob:%S@h/x
zabbix_sender --tls-psk %H
icinga2 node setup --ticket %H
pt-archiver --source h=db,u=bob,p=%S
gh-ost --user=bob --password=%S
proxysql-admin --password %S
maxctrl -u admin -p %S list servers
pgbouncer -R --auth_password=%S
liquibase --password=%S update
flyway -password=%S migrate
sqitch deploy db:pg://bob:%S@h/x
alembic -x dburl=postgresql://u:%S@h/x upgrade head
elasticdump --input=https://elastic:%S@h:9200/i
curator --http_auth elastic:%S
logstash -e 'output { elasticsearch { password => "%S" } }'
filebeat -E output.elasticsearch.password=%S
grafana-cli admin reset-admin-password %S
influxd --http-auth-token %T
promtool query instant http://bob:%S@h 'up'
telegraf --password %S
wscat -H 'Authorization: Bearer %T' -c wss://h
grpcurl -H 'authorization: Bearer %T' h:443 list
websocat 'wss://h/?token=%T'
mutt -e 'set imap_pass="%S"'
irssi -c h -w %S
weechat-headless -r '/server add x h -password=%S'
asterisk -rx 'sip set secret %S'
sipp h -au bob -ap %S
radtest bob %S h 0 testing123
freeipa-client --password=%S
realm join -U admin --one-time-password=%S x
adcli join --login-user=bob --stdin-password-text=%S
samba-tool user setpassword bob --newpassword=%S
ncat --proxy-auth bob:%S h 80
socat - PROXY:h:x:22,proxyauth=bob:%S
mkpasswd -m sha-512 %S
openssl passwd -6 %S
caddy hash-password --plaintext %S
ghost setup --dbpass %S
magento setup:install --admin-password=%S --db-password=%S
occ config:system:set dbpassword --value=%S
drush site:install --account-pass=%S
joomla install --db-pass %S
moodle-cli --adminpass=%S
odoo -w %S -r odoo
odoo --db_password=%S
mattermost user create --password %S
discourse --api-key %H
gitea admin user create --username b --password %S
sonar-scanner -Dsonar.token=%T
nexus-cli --auth admin:%S
artifactory-cli -u bob -p %S
jf c add --url=x --password=%S
minio server --secret-key %T
garage key import --secret %H
ceph auth import --key %T
rbd map --secret-value=%T x
glusterfs --xlator-option=auth.password=%S
iscsiadm -m node -o update -n node.session.auth.password -v %S
targetcli set auth userid=b password=%S
multipath-cli --chap-secret=%S
tgtadm --lld iscsi --op new --mode account --user b --password %S
lxc config trust add --token %T
virsh secret-set-value --base64 %T uuid
virsh set-user-password vm bob %S
VBoxManage guestcontrol vm run --username b --password %S
vmrun -gu bob -gp %S start x.vmx
govc ls -u https://bob:%S@vc/sdk
ovftool vi://bob:%S@esx/vm x
xe-cli -u root -pw %S vm-list
powershell -Command "New-LocalUser bob -Password (ConvertTo-SecureString '%S' -AsPlainText -Force)"
pwsh -c '$env:TOKEN="%T"; ./run.ps1'
cmd /c 'set PASSWORD=%S && run'
java -jar jenkins-cli.jar -auth bob:%S x
mvn -Dgpg.passphrase=%S deploy
gradle -Psigning.password=%S publish
sbt 'set credentials += Credentials("r","h","bob","%S")'
lein deploy --password %S
fastlane match --git_basic_authorization %T
xcrun notarytool submit --password %S --apple-id b x.zip
security unlock-keychain -p %S login.keychain
security import c.p12 -P %S
altool -u bob -p %S --upload-app
adb shell 'wpa_cli set_network 0 psk "%S"'
bundletool build-apks --ks-pass=pass:%S
expo login -u bob -p %S
firebase deploy --token %T
eas build --token %T
supabase link --password %S
planetscale connect --service-token %T
turso db tokens create --token %T
prisma migrate --url mysql://b:%S@h/d
knex migrate --connection postgres://b:%S@h/d
typeorm -- --password %S
goose postgres 'user=b password=%S dbname=d' up
migrate -database 'mysql://b:%S@tcp(h:3306)/d' up
dbmate --url postgres://b:%S@h/d up
pgcli postgresql://b:%S@h/d
mycli -u b -p%S d
mycli mysql://b:%S@h/d
litecli --key %S x.db
sqlcipher x.db "PRAGMA key='%S'"
duckdb -c "CREATE SECRET (TYPE s3, KEY_ID 'x', SECRET '%T')"
clickhouse-client --password=%S
questdb --http.password=%S
cockroach sql --url 'postgresql://b:%S@h:26257/d'
ysqlsh 'host=h password=%S'
ksql http://h --config-file x --password %S
trino --server h --user b --password=%S
presto-cli --password=%S
hive --hiveconf javax.jdo.option.ConnectionPassword=%S
pyspark --conf spark.ssl.keyPassword=%S
flink run -Dsecurity.ssl.key-password=%S x.jar
nifi.sh set-single-user-credentials bob %S
zkCli.sh addauth digest bob:%S
emqx ctl admins passwd bob %S
pulsar-client --auth-params token:%T
amqp-tools --url amqp://b:%S@h
stompclient -U b -W %S
ircII -p %S
znc --makepass %S
dovecot doveadm pw -p %S
doveadm auth test bob %S
postfix saslpasswd2 -p -c bob <<< %S
exim4 -auth bob:%S
opendkim-genkey --secret %T
rspamadm pw -p %S
squid basic_auth bob %S
stunnel --psk %H
airmon wpa --psk %S
hcxdumptool --wpa-psk=%S
strongswan --secret %S
ipsec whack --psk %S
pptpsetup --create x --server h --username b --password %S
l2tp --ppp-password=%S
openconnect -u bob --passwd-on-stdin <<< %S
zerotier-cli -T%T info
netbird up --setup-key %T
twingate setup --service-key %T
ockam enroll --token %T
teleport start --token=%T
tsh login --auth-token=%T
boundary authenticate password -login-name=b -password=%S
consul acl token update -secret=%T
nomad acl bootstrap --token=%T
waypoint login -token=%T
step ca init --password %S
step certificate create --provisioner-password=%S
certbot --server-auth-password=%S
lego --eab.hmac=%T run
acme.sh --register-account --eab-hmac-key %T
easyrsa --passout=pass:%S gen-req x
age-keygen --passphrase=%S
gopass insert x %S
rbw unlock --password %S
lpass login --password %S
op signin --secret-key %T
chezmoi secret set --value %S
sops --decrypt --age-key %T f
borgmatic --override storage.encryption_passphrase=%S
restic --password-text=%S backup
rdiff-backup --remote-password %S
urbackupclientctl set-settings -k internet_authkey -v %T
bconsole -p %S
tarsnap --passphrase=%S
megacopy -u b -p %S
gdrive --refresh-token %T
onedrive --auth-response 'https://x/?code=%T'
dropbox-cli --access-token %T
aws --profile x configure set aws_session_token %T
aws iam create-login-profile --password %S
aws rds modify-db-instance --master-user-password=%S
gcloud compute reset --password %S
gsutil -o 'Credentials:gs_secret_access_key=%T' ls
az vm create --admin-password %S
az ad sp create --password %S
oci --auth-token %T os
ibmcloud login --apikey %T
aliyun configure set --access-key-secret %T
hcloud context create --token %T
linode-cli --token %T
vultr-cli --api-key %T
"""

INNOCENT = r"""
ls -la /srv/passwords
grep -rn password /etc/nginx
rg -i 'api[_-]?key' src
git log --grep 'token refresh' --author bob
git commit -m 'Fix password reset page'
git checkout feature/secret-rotation
ffmpeg -i a.mp4 -pass 2 -passlogfile x b.mp4
ffmpeg -hide_banner -i in.mkv -c:v libx264 -preset slow -crf 22 out.mkv
x264 --pass 1 --bitrate 2000 in.y4m
opt --pass-through yes --passes licm,gvn
train.py max_token_len=512 token_type_ids=1 pad_token_id=0
python train.py --max-tokens 4096 --tokenizer gpt2 --num-tokens=100
python -m vllm.entrypoints.api_server --model Qwen/Qwen2.5-7B-Instruct --max-model-len 8192
python3 -m http.server 8000 --directory /srv/www
python manage.py changepassword bob
python manage.py runserver 0.0.0.0:8000
gunicorn app.wsgi:application -w 4 -b 0.0.0.0:8000 --timeout 30
uvicorn app.main:app --host 0.0.0.0 --port 8080 --workers 4
celery -A proj worker -Q emails,passwords --loglevel=INFO
systemd-run --unit backup --property TokenBucket=5
systemctl restart password-agent.service
rg --pat TODO -g '*.py'
app --pw-dir /srv --pat '*.log'
app --sas yes --auth basic --token-type bearer
app --auth-method kerberos --password-prompt
app --no-password --skip-auth
app --password-file /run/secrets/db --token-file=/var/run/token
app --key-size 4096 --key-type rsa --public-key id.pub
app --primary-key id --sort-key name --partition-key day
sqlplus -S /nolog
sqlplus / as sysdba
sqlplus /@wallet
ssh -p 2222 -i ~/.ssh/id_ed25519 deploy@web
scp -P 2222 a b@h:/tmp
nmap -p 22,80,443 -A -T4 web
docker run -p 8080:80 -v /srv/data:/data -u 1000:1000 nginx:1.25
docker run --rm -it --name web --network host img:latest
docker compose -p shop up -d
kubectl get secret db-credentials -o yaml
kubectl logs web-7d9c6b8f5d-x2x9z -n prod --tail=100
kubectl port-forward svc/web 8080:80
helm upgrade web ./chart -f values.yaml --set replicas=3
terraform apply -auto-approve -var region=eu-west-1
ansible-playbook site.yml -i hosts --tags users --ask-become-pass
ansible-vault view --vault-password-file ~/.vp x
psql -p 5432 -U app shop
psql -c 'select password_hash is null from users where id = 7'
mysql -u root -p shop
mysql -P 3307 -h db shop
redis-cli -h cache -p 6380 INFO
redis-cli GET session:42
mongosh --port 27018 --eval 'db.stats()'
curl -fsSL https://get.example.org/install.sh -o install.sh
curl -X POST -H 'Content-Type: application/json' -d @body.json https://x.example/api
curl -H 'Accept: text/html' -A 'Mozilla/5.0 (X11; Linux x86_64)' https://x.example
curl -w '%{http_code}' -o /dev/null -s https://x.example
wget -P /tmp -c https://x.example/file-1.2.3.tar.gz
less -w 80 file
cp -p a b
mkdir -p /srv/app/secrets
tar -czpf backup.tar.gz --exclude=node_modules .
rsync -avz -e 'ssh -p 2222' src/ h:dst/
rsync --password-file=/etc/rsync.pass a h::b
openssl x509 -in cert.pem -noout -text
openssl req -new -key k.pem -out r.csr -subj /CN=x.example
gpg --verify x.sig x
ssh-keygen -lf k.pub
ssh-keygen -t ed25519 -f k -C bob@laptop
7z x a.7z -oout
unzip -p a.zip f
zip -r a.zip dir
java -Xmx4g -XX:+UseG1GC -XX:MaxGCPauseMillis=200 -jar service.jar
java -Dfile.encoding=UTF-8 -cp lib/a-1.2.jar:lib/b.jar org.example.AbstractBeanFactory
java org.springframework.boot.loader.launch.PropertiesLauncher --server.port=8081
node --max-old-space-size=4096 --inspect=0.0.0.0:9229 server.js
npm run build -- --mode production
npm install @scope/package@1.2.3
yarn workspace web build
cargo build --release --features tokens,auth
go test ./auth/... -run TestToken -count=1
pytest tests/test_password.py -k 'password and not reset' -x
make -j8 CC=clang CFLAGS='-O2 -g'
gcc -O2 -Iinclude -DKEY_LEN=32 -c crypt.c -o crypt.o
chrome --type=renderer --enable-features=NetworkServiceInProcess2 --metrics-client-id=f2b6c7e0
chromium --password-store=basic --user-data-dir=/tmp/p
/nix/store/%N-python3-3.11.9/bin/python3 app.py
python3 /tmp/torchinductor_root/ab/%I.py
/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main
'postgres: app shop 10.0.0.7(51234) SELECT waiting'
'nginx: worker process'
'sshd: deploy [priv]'
nginx -g 'auth_basic "Restricted area";'
kafka-topics --topic user.password.changed --group auth-svc
tc qdisc add dev eth0 root tbf rate 1mbit burst 32kbit latency 400ms
vault status
vault kv get secret/db
vault kv list -mount=secret db
htpasswd -c /etc/nginx/.htpasswd alice
aws s3 cp s3://bucket/key ./key --region eu-west-1
aws secretsmanager get-secret-value --secret-id prod/db
az keyvault secret show --vault-name v --name n
gcloud secrets versions access latest --secret=db
gcloud auth print-access-token
docker login --password-stdin -u bob registry.example.org
gh pr create -t 'Rotate token' -b 'see issue'
crontab -u bob -l
passwd -l bob
chage -M 90 bob
useradd -m -s /bin/bash bob
su - bob
sudo -u postgres psql
sh -c 'echo done | tee log'
bash -c 'for f in *.log; do gzip "$f"; done'
bash -lc 'cd /srv && exec ./run --port 8080'
bash -c 'echo hello | wc -c'
find / -name '*.key' -newer x
find . -path ./node_modules -prune -o -name 'token*.ts' -print
awk -F: '{print $1}' /etc/passwd
sed -i 's/password/passphrase/' README
vim src/auth/token_store.rs
cat /etc/shadow
tail -f /var/log/auth.log
app --request-id 3f2504e0-4f89-11d3-9a0c-0305e82c3301
app --commit 9455ee9b0a1c2d3e4f5061728394a5b6c7d8e9f0
app image@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
app --since 2026-11-20T10:00:00Z --tz Europe/Berlin
app https://docs.example.org/auth.html#basic
app --log-format '%(asctime)s %(levelname)s %(message)s'
app --locale de_DE.UTF-8 --theme Solarized-Dark
app --cipher TLS_AES_256_GCM_SHA384 --curve X25519
app --instance-type m5.2xlarge --ami ami-0abcdef1234567890
app --features passkeys,sso --login-url https://x.example/login
app basic authentication is not supported
git clone git@github.com:owner/repo.git
git clone ssh://git@example.org/repo.git
borg list ssh://backup@h/./repo
strace -p 4242 -f -e trace=network
perf record -p 4242 -g -- sleep 5
gdb -p 4242
lsof -p 4242
kill -9 4242
strings -n 8 core.4242
xfreerdp /u:bob /v:h /size:1920x1080
ldapsearch -x -W -D cn=admin -b dc=x
snmpwalk -v3 -l noAuthNoPriv -u bob h
ipmitool -I lanplus -H h -U root -E power status
smbclient -L //srv -N
pass show mail/work
pass generate web/site 24
keepassxc-cli open db.kdbx
bw list items
"""


def _password(made: random.Random) -> str:
    word = made.choice(
        ["Hunt3r", "S0mmer", "Kaff33", "blueHorse", "Tr0ub4", "W1nter", "passt", "geheim", "Zug", "n3kot"]
    )
    return word + made.choice(["-", "_", "!", ".", ""]) + "".join(made.choices(_MIXED, k=6))


def secrets_of(made: random.Random) -> dict[str, str]:
    """One secret of each kind."""
    return {
        "%S": _password(made),
        "%L": "".join(made.choices(string.ascii_lowercase, k=10)),
        "%H": "".join(made.choices("0123456789abcdef", k=32)),
        "%T": "".join(made.choices(_MIXED, k=40)),
    }


def with_secret(seed: int) -> list[tuple[str, list[str], list[str]]]:
    """Each line of SECRET: as it is written, its secrets, and its arguments."""
    made = random.Random(seed)
    found = []
    for line in SECRET.strip().splitlines():
        planted, filled = [], line
        for kind, secret in secrets_of(made).items():
            if kind in filled:
                planted.append(secret)
                filled = filled.replace(kind, secret)
        found.append((line, planted, shlex.split(filled)))
    return found


def innocent(seed: int) -> list[list[str]]:
    """Each line of INNOCENT as arguments."""
    made = random.Random(seed)
    low = string.ascii_lowercase + string.digits
    lines = INNOCENT.strip().splitlines()
    filled = [
        line.replace("%N", "".join(made.choices(low, k=32))).replace(
            "%I", "c" + "".join(made.choices(low, k=50))
        )
        for line in lines
    ]
    return [shlex.split(line) for line in filled]
