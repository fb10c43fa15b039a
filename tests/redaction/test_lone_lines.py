"""A line whose language nobody knows shows no literal of any language, and ordinary code stays readable."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.redaction import HIDDEN, redact_source

# Each form of a literal or comment, in a line of its language: `{}` is what it says.
LITERALS = {
    "perl": ["my $x = q({});", "$f->login(qq{{{}}}) or die;", "my @x = qw(bob {});", "my $x = q<{}>;", "$x{{key}} = '{}';",
             "$ua->credentials('h', 'bob' => q/{}/);", "use constant KEY => \"{}\"; # {}", "my $x = q{{a {{{}}} b}};"],
    "ruby": ["config.x = %q({})", "x = %w[{} other].first", "y = %Q{{{}}}", "`frob {}`", "x.update!(name: \"{}\") # {}",
             "@x ||= '{}'", "conn = A.new(:host => \"{}\")"],
    "shell": ["export X='{}' # {}", "frob \"{}\" | tee log;", "X=`frob {}`", "if [ \"$1\" = \"{}\" ]; then", "x=$(frob '{}')"],
    "php": ["$x = '{}';", "define('X', \"{}\"); // {}", "foo($a, ['x' => '{}']);", "return ['x' => \"{}\"]; # {}", "/* {} */ $x = 1;"],
    "go": ["x := \"{}\"", "m := f([]byte(`{}`))", "if x != \"{}\" {{ return }}", "x := y // {}", "const x = `{}`"],
    "java": ["private static final String X = \"{}\";", "/* {} */", " int x = f(\"{}\".toCharArray()); // {}", "// {}", "@Value(\"{}\")",
             "x.y(\"a \\\"{}\\\" b\");"],
    "javascript": ["const x = '{}';", "let x = `{}`;", "x(`a ${{b}} {}`);", "f({{ a: \"{}\" }}); // {}", "if (a === '{}') return;"],
    "c": ["char *x = \"{}\"; /* {} */", "if (!strcmp(a, \"{}\")) return 1;", "#define X \"{}\"", "wchar_t x[] = L\"{}\";"],
    "rust": ["let x = r#\"{}\"#;", "const X: &str = \"{}\";", "let x: &'static str = \"{}\"; // {}", "f(b\"{}\");"],
    "c#": ["var x = @\"{}\";", "var x = $\"a {}\";", "f(\"{}\"); // {}"],
    "lua": ["local x = [[{}]]", "local x = [==[{}]==]", "local x = '{}' -- {}", "-- {}"],
    "sql": ["-- {}", "SELECT f('{}') FROM t; -- {}", "UPDATE t SET a = '{}' WHERE b = 7;"],
    "markup": ["<a b=\"{}\"/>", "<!-- {} -->"],
    "settings": ["x = \"{}\" # {}", "; {}", "x: '{}'", "{{ \"x\": \"{}\" }},", "ENV X=\"{}\"", "CMD [\"frob\", \"{}\"]"],
}  # fmt: skip
FORMS = [(language, form) for language, forms in LITERALS.items() for form in forms]


@pytest.mark.parametrize(("language", "form"), FORMS)
@pytest.mark.parametrize("secret", ["dragon", "Hunt3r" + "-q7Xv2L", "0f" * 16, "correct horse", "sunsh1ne"])
def test_a_literal_of_any_language_is_hidden_whatever_it_says(language: str, form: str, secret: str) -> None:
    """By how the language quotes, not by what is quoted: a plain word goes, too."""
    shown = redact_source(form.format(secret, secret))
    assert secret not in shown, language
    assert redact_source(shown) == shown


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FORMS),
    st.text(alphabet=string.ascii_letters + string.digits + " -_.:;,+=@#%&", min_size=4, max_size=30),
)
def test_nothing_that_a_literal_says_ends_it(given: tuple[str, str], inside: str) -> None:
    """Marks of comments, settings and options inside of quotes open nothing."""
    word = f"zqx{inside}xqz"
    shown = redact_source(given[1].format(word, word))
    assert "zqx" not in shown
    assert "xqz" not in shown


# What these name is a value without quotes: `{}`.
SETTINGS = [
    "password={}", "db.password={}", "api_key: {}", "  password: {}", "- POSTGRES_PASSWORD={}", "export DB_PASSWORD={}", "[client] password={}",
    "<password>{}</password>", "PASSWORD := {}", "ENV DB_PASSWORD={}", "Environment=DB_PASSWORD={}", "url: postgres://app:{}@db/shop",
    "data: {{ password: {} }}", "mysql -uroot -p{} shop", "RUN curl -u bob:{} https://x.example", "requirepass {}", "ssl_password {};",
    "<key>password</key><string>{}</string>", "<name>db.password</name> <value>{}</value>",
]  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    "secret",
    ["dragonfly", "Hunt3r" + "-q7Xv2L", "Hunt3r" + "_q7Xv2L", "W1nter" + ".FOFKVK", "geheim" + "_JZxNFE"],
)
def test_a_setting_without_quotes_is_hidden_by_its_name(setting: str, secret: str) -> None:
    if secret == "dragonfly" and "{{" in setting:
        return  # as well an object whose value is a variable
    assert secret not in redact_source(setting.format(secret))


CODE = [
    "foreach my $line (@lines) {", "push @{ $self->{tokens} }, $token;", "return wantarray ? @result : \\@result;", "@cache ||= {}",
    "orders.group_by(&:customer_id).transform_values(&:count)", "if (password == null || password.isEmpty()) {", "count=$((count + 1))",
    "while read -r line; do", "$total += $order->price * $order->count;", "public function index(Request $request): Response",
    "for i, item := range items {", "func (s *Server) handleOrders(w http.ResponseWriter, r *http.Request) {", "defer resp.Body.Close()",
    "for (Order order : orders) {", "Map<String, Integer> counts = new HashMap<>();", "Token token = lexer.nextToken();",
    "return items.stream().filter(i -> i.isOpen()).collect(Collectors.toList());", "val total = items.sumOf { it.price * it.count }",
    "const total = items.reduce((sum, x) => sum + x.price, 0);", "const cache = new Map<string, Order>();", "@password_digest = BCrypt::Password.create(password)",
    "interface Order { id: string; total: number }", "for (int i = 0; i < n; i++) sum += a[i] * b[i];", "static int compare(const void *a, const void *b)",
    "std::sort(rows.begin(), rows.end(), [](auto &a, auto &b) { return a.at < b.at; });", "foreach (var order in orders) total += order.Price;",
    "let total: f64 = items.iter().map(|x| x.price).sum();", "pub fn price(basket: &Basket) -> Result<f64, Error> {", "for i, v in ipairs(items) do",
    "SELECT name, count(*) FROM orders GROUP BY name ORDER BY 2 DESC;", "CREATE INDEX orders_by_day ON orders (day);", "port = 8080", "[server]",
    "server.port=8080", "replicas: 3", "image: nginx:1.25", "<artifactId>spring-core</artifactId>", "ENV PYTHONUNBUFFERED=1", "CFLAGS := -O2 -Wall",
    "passwordSecretRef: db-password", "<key>name</key><string>shop</string>", "type Order struct { ID int; Total float64 }", "package main",
    "class OrderController extends Controller", "rescue Errno::ENOENT => e", "tar czf out.tgz -C src .", "defmodule Shop.Order do", "USER nobody;", "x |> Enum.map(fn x -> x * 2 end)", "let total = items.reduce(0) { $0 + $1.price }",
]  # fmt: skip


@pytest.mark.parametrize("line", CODE)
def test_code_of_other_languages_stays_as_it_is(line: str) -> None:
    assert redact_source(line) == line


@pytest.mark.parametrize(
    "line",
    [
        "for the old account (ask bob) it is dragon;", "the root's $HOME and `dragon", "see dragon => or the other one", "pass dragon to frob && go on",
        "/* it is dragon", "my $x = q(dragon", "let x = `dragon", "x = [[dragon and local y",
    ],
)  # fmt: skip
def test_prose_and_literals_that_stay_open_go_whole(line: str) -> None:
    assert "dragon" not in redact_source(line)


def test_a_line_that_is_no_code_goes_whole() -> None:
    assert redact_source("ask bob for dragon;") == HIDDEN
