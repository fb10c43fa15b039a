"""Words that nobody wrote to be read: random characters, judged by the triples of letters in them.

`_LEVELS` says how common each triple over 26 letters, a digit and a word's end is, in two bits: 2 for the
3,400 commonest (92 %), 1 for the next 7,400, 0 for others. `tests/redaction/triples.py` counts them.
"""

from __future__ import annotations

import base64
import re
import string
import zlib

_LEVELS = zlib.decompress(base64.b85decode(
    b"c-n<nO>f({+9d_axHBu!kc_sgWRMh?`zuJnGA3P-f=I+(C50u}{uOqR1emU*z!GY&(!vsK{mOeNyEAxKuL@MLO_9&%Ip>iMsxRN&"
    b"a%SFc7NgDAy3KdAu1%dEO+^CkrG)EQqPC1rzD9p8MrA~k+wovs>0))%+lY!#4)`$odV3hYba~q~pX$ANYnxHo=BrgR+7rU#fUZsb"
    b")*Pdf*vsK|W%sGh>pX7;b-r(xr_rtotGi>mHN#|)dN@c053Eq0P`+D!8E*8Pt&?GrrK1<^5zfeaJ2llwhbP_6j$XxRBm<)Ln9oyM"
    b"XphQ(@t=F_sb54u{eVg>Haex8QtG>u7_(g-d8Hk@nZ&m&ATn{xmG8ug3caO8$f)$GFsfP}>&?(pp(d*Lf%2g<ypoQ3jMQW4l}s@9"
    b"fy-=J-yOYYLTL)eDJ8@uTzO2SW646EuIbhfDe;NaJ|U94XWHnc_M5coj^PV)h0kdrUZZQ=0*|EuEh}B`7U6*hB1m0p4jU6*o43{X"
    b"QCWX6-GOakJMlR@deWJxqG)jKN97y!vATq}0Vkr$p1S3yjS5te4olkmK!$_paZI1ogsS;(rJ1~Ci>TCtm)E1GJx{<uDG)4jzBuQB"
    b">&BcEp63UI2)hNL@A*_$S;(ra`gZ(St5E1PDwz~2^|pE#se88RW=(h8ZFLx{xhklG<RIz-TT|Ztw_2U1m4kzPVbh>uQqbW<r*4@r"
    b"Cy=xh-r(kns%6;Bj?1k=NgytlJVb-&+IK1yD_we(-Vi_ZMHW{3Mf|KNl`fG~P)P_od$DFNcO_Xz)bV}F@jH?3d$+H<Q+9g@etbC&"
    b"o{dSGh4bU<>(A`_psGJ7OFgN!VfpPi-a4P2Zc!RhGWqk~DIG^#jj3p|VrqYL1k7Czoww{T+SIf9bQsn9QPRu@WxMK@r%(GdjpH;d"
    b"lH@HrSs#S!JL_)McBfUB*KN~`a5KwO-pHYd7wLF3K+V%~XrkNHf6h%*ZfS`?>bc!zs3m<#V;cMPy~B0tK4-lC?KDUUqYVDJl!s%)"
    b"(^JZ&@@rIi-(|rD5gMUDhHZUPVpGhs&xeo8=Pgp|`~8<TTG7b4_6Gv>#n%WVvrD=3%MbUWU__t{BtI92<2Vn5N_8uQWTlAMdzzNM"
    b"F7D<erTuPP;_lj1^objj*z?0REU?$ubvg0hHLg_qm8xgQu<|IiR);ZaiSUpz7Era*sF&RVTf#r0oydM^sE`%i<R8=JA%3=}!6oD!"
    b"t`Jyu<Ht%wDoqKJ1CN}w*5z`cx9ow@bci@`Tg+IQp>s59Y3r3VzV=g(o5Abso>YucEGtm7uvYaC5bnVM*iLMxlQp+KlA>Kzr<1<j"
    b">3V<C4LLUu<pLPPW8fJ=-kP`Bsj85E5Ah^DPRR2gy!l*BPamG?*#`iij|Uv;1ZaK76L1<$>G-H>Am-}$`9%W~7%eU)jhyHT2T8#N"
    b"XN5NrX3NSip`N6{nD%zUdg0sl?K6iw@O40nbG`wEIF%Ne)>Wg~Ze9Ufw>c{FR98uzXGc-h`6S!M&34*+IcD4BcPHG^x1>&{Q)f#("
    b"fn(Nyj##_vX!Lk<<BbR4hwY#QuVnA0{PH#VnGQB!fK#)tknib{ZF5sr2lE3c=7JyEnaNLHiBr2~Qsp)HXa*+Hqd8wY&Ts)(8&brD"
    b"a&JHt=KwitHJKzyroF#V_B<tr7CwL<GF5$9Ot%-`&rwC<fS7cA@SESiyU+NOq&EC^iRA~oCREZ(-Sq|gJYm25cL@g^658ih{70#e"
    b"^TCGvfxUl~H)@^Q%9b8`Ncq<7x5Od(@08j+us&TNf`0c4!uGvzwv+UB`ii)Md8Etg{W07rS14>PM9d^5@cjy|R;HRB;~IAOmRCFx"
    b"rgRH5Wn;<#Tf0-(_XG9@?pnZgoB{e+IEWzphAmh4z1G$K_~(oDXnZk%^2xx#Zz7D0+91gTXC644JA##-<rQ%bmaWfAlq_(J$@=1h"
    b"?7t~mZT6XFU6b#TMr)ZXfLbw2owXSxKt!}mK0EFk(5??$!jc>J%+v6yTP?e0y0f3)tzr>atuUh`oB#F}85$~znsDHl=&}qjx>pmW"
    b"L-LCsU<$lV&E!#+qD-RU!v~5I#(Anr96Ac9#X8UcU`-&cQinR0{&yJ)W~ssFin~S64?1kKc7NLKli^eLVOV+=mk{JorGa>_bM(q%"
    b"gRn45(rEa<;EG2BY|;L)ot`#3#F^Qiz7uKca_vo0&CA4z9^{~;O!(m2#`ePu4D^&8O=C+H&5UYgxamxRQwzY_gBx!YtELCFJ=dAE"
    b"$+)BqpBPo!2X}o=B-cLYK6`H~16&F__;CER18P_dNnT&UakW8jE=E<`?m;0tHh8*59!&n0HRfQM+4A&0>zZ$WM^2xI;Xq{vwsAa*"
    b"`X(_{S9Bc>of|1O@L_gZRYPBm#?eJD5jLbsGXC}3&$cn8+1v9PGt%bp^2{9PF&&qeT9R1plIJ{Dq15YM7XaOfZ{hcxhuZ@9a__At"
    b"lW(_+L7CKFvqQ8s#w^oO#eEqsVlIA*!UDoGe_AZSM^p#GBBs1MkaXbC6h4fi<Tf4kxODja4I;Qry{cW+tHZQSZ+`s!JuGIqIUQMj"
    b"h7R6Bw;o4r4wz};3Ys=MXy`Nb_c3^embyvlo0+KTLs*7X2$H^O5E#&O5+(OwG1~Wc(aqq437g0ETc<1Lv4n`R;S-gLV(=SEO00k8"
    b"-~jxFRHx9bP&psm0#*Ja^qzj2YIl6u_6Wf_yS8Ox+4m-Oo-BP<exa^uB75c7o&Nlun7901T>3$RA0E|Ur)q`$%aMs5=96-2F~r+S"
    b"hY~Ql@BuJn-D3ua*4I^~tG=)x=7}d#4s10i@Pmae|6lkbRt*5bDI^CuLm9synf=@SXPNyr=>PZseO9|jH81cCwPN7c!v0u(CbwV6"
    b"XnE3NOP>|s0Y1rr<6QB7ZK34<xulX%DwLq$_ox4UbDZQRWy*PlOrVI1fxxP|Rk!a}yAgf6n$u#GMDt+Kmnn|zR;RAH+c^%gFj|`="
    b"oQvnlAbRjwX_6=lFf9!ykI2JmX@%MDQK--Nbkn=x@F9AIGxfF3=g_UD2A)morEd2JQ6Zbm0yT{;Q9|rEbWxf5?;iS(QwU}2e$l}`"
    b")Ka&=3^cR#0`ykqHF>-r6ruN+x~ypPX5YoYR(cIJgTV-rsxT9%%3;y1toGiWk(LezW`1<upr~)9Q+^r@9waRw!GQ%To0hZ1tT3-{"
    b"*}d8j@M7TbM{FiNX}{E8t2Q^w<>==Ox@QrtlUtQS3?;(3a_tmlYhkTjIh!*%bW{Kz7}CtGZiNrC+b%;MW)<)g>Yl4-^`0{LAXo?r"
    b"$$`5yur+#2?WiaCJ#~{ol-(ykx>eJ4cUCW1T#AI%Su%1WeM8>Fa8oEIFZ|Hh_MJ5bS~yI~zE&tVzav#qZ6>+KRGUnm4j<^#-T)(G"
    b"Onmg(O4}j527y}@ye6sgiVCSv4nz)68AUx#&)R!+E3c}%@4?25Dn0kg(Q6()(=jykJY^VuUZ%%E;eCvKd>Z7aGiQC_+lIYQkAFQo"
    b"JwdM>q2%1*W>jZeXEPg3_R_H-ST?%iM0;D0SARe+sY_3jJa116E0hx5j8IEavmG^@4l%#WA@%%J$jC!n&k~&b#aS=Om<}<o+?{n`"
    b"p|t{h1WjsZ*ezBEctB|-18?1{ZNh)(dV18AN35_07n3k01wT&=t$`Z#&RT=`%t|E4N$Oe-1KCI!6bgCpiFg<`*&?n`;vZbDF6}5l"
    b"a^OE7a3&De{s2y#G?W(*aQXjfUmkE@q-1PQ?@!`bQ1tVI=Ns!oP?O6P1DM3W!1~Ugr^9%B?*gEp=;%dz13x3%0p)1%*O82WLC9J2"
    b"!Igeo#SOMlwgKQ4!j<U<>`H`<%NfSdutV6w!$d)2Z?O;Sr(`!CU%L1LOIN>CrS^k3@OvN5SZK)`^jS9=ev3hhNFdIzGZyQsvA6b^"
    b"ZD0NXAif`OSpT9yUa-z89UP=RsT)^ba5o?q*=qwTsar}r!kwc+JmNz3MoxMCANni0{d|M|1Aj?mXB5ki6qroLR*Shdt3E%gXl~=Q"
    b"RwS^GKFg5P^E83mdk)fo=F?KnQug97+d!PIwH%Xie5QGY!R~&H;*adh5|056dLx+4CJ`Uf{soGyL69hBJT9EXCm#RkZB&3!kBNXo"
    b"=Y#G4a=3~j`5kcCi}PP^7VI2Xp#xu8IQC-gGw6ANj<ez&xea<gvSSeM?{MAe6MmNPMK|sBQX`vhN9^*?{D7pom`nqhTkHJpsJD3N"
    b"GBd+5n+JO{qx7_OpXsmU^e>&xNPCvHE+6(c8dEui613y0`wx4aTXYPR1n7AE!~n;_)Vn9+vrw{|p?1ZELS-00w?Z#LD-ji(3oON_"
    b"fRd1KfeAD8?CCNN2t(O~jD~QNy4;E`^dATJyZvZ>DFzz|?@YVazq4_dS3=V3C)>jBCmZRWI{>3)IOe}JA3u))KK0NWc64SzZ!J3Y"
    b"3buO}-P+F&9JKauX$#sb!1YwCcs}{jHM@PIZ@VQpV0FsPTXq_C^&TUssrR#ew=iwH1c&UJd{#G0quaVZoo3TFV={=s2K;bJk5GqA"
    b"W@KHzF7H39dQvype%hM6%}kQ7OnaEsr)9H0uC`s<o=&So4dX-)Wor@$R_uv^)xM&s^HXbf;OV28=6RB*gB;}DEFVpym6_|4iJ;SI"
    b"X-tycXrZ+qr|Q)8*MI*9NB`b<"
))  # fmt: skip
TRIPLES = 28**3
_END = 27
# Letters become 0 to 25, any digit 26, everything else a word's end.
_CODES = bytes(byte - 97 if 97 <= byte <= 122 else 26 if 48 <= byte <= 57 else _END for byte in range(256))
# By how many bits a triple of each level is likelier in random characters than in words.
_BITS = (6.0, 2.0, -1.5)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]++")
_BITS_OF_ODD_STEP = 3
_BITS_OF_NONSENSE = 6
# Words of these looks are often names and seldom secrets: so many bits more must speak against them.
# A capital and small letters; capitals and digits (serial numbers); ipv4first; enp3s0f1; kWebSQLAccess.
_MORE_BITS = (
    (re.compile(r"[A-Z][a-z]++"), 20),
    (re.compile(r"[A-Z0-9]{6,11}"), 60),
    (re.compile(r"[a-z]{2,6}[0-9]{1,2}[a-z]{1,6}[0-9]{0,2}"), 5),
    (re.compile(r"(?:en|wl|ww|ib)[opsx][0-9][a-z0-9]{1,10}"), 40),
    (re.compile(r"(?=.{9,})[a-z]{0,8}(?:[A-Z]{1,5}[a-z]{2,})+"), 12),
)
# Of eight letters, or of six where digits or cases are mixed; plain hex says nothing.
_CHUNK = re.compile(
    r"(?<![A-Za-z0-9])(?![A-Z]?[a-z]{0,7}(?![A-Za-z0-9])|[0-9a-f]*+(?![A-Za-z0-9]))[A-Za-z0-9!#$^~*?%]{6,64}+"
)
_SHORT_HUMP = re.compile(
    r"(?<![a-z])[A-Z][a-z]?(?![A-Za-z])|(?<![A-Za-z])[a-z]{1,2}(?=[A-Z])|[A-Z][a-z](?=[A-Z])"
)
# A capital after a small letter, or two capitals, or one and a digit, before the next small letter.
_BOTH_CASES = re.compile(
    r"\A[^a-z]*+[a-z][^A-Z]*+[A-Z]|(?:\A|(?<=[a-z]))[^A-Za-z]*+[A-Z][^A-Z0-9a-z]*+[A-Z0-9][^a-z]*+[a-z]"
)
CLASS_OF = {
    **dict.fromkeys(string.ascii_lowercase, "a"), **dict.fromkeys(string.ascii_uppercase, "A"),
    **dict.fromkeys(string.digits, "0"), **dict.fromkeys("!$^*~?#", "!"),
}  # fmt: skip
# Kubernetes' own suffixes, disks, volumes, ULIDs, peers, messages of a mailer, accounts of a chain, versions,
# digests, and names of resources.
_NAMED_THING = re.compile(
    r"(?:[a-z0-9]++-)+(?:[bcdf-hj-np-tv-xz2456789]{5}|[bcdf-hj-np-tv-xz2456789]{8,10})(?:\.[a-z][a-z-]{0,60})?"
    r"|(?:ata|nvme|scsi|usb|wwn|virtio|google|dm-name|dm-uuid|lvm-pv-uuid|md-uuid|mpath)-[\w.:+-]{1,120}"
    r"|[a-z]{3,10}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9A-Za-z]{6}(?:-[0-9A-Za-z]{4}){5}-[0-9A-Za-z]{6}"
    r"|[A-Z2-7]{7}(?:-[A-Z2-7]{7}){7}|01[0-9A-HJKMNP-TV-Z]{24}|baf[ky][a-z2-7]{55}|[0-9A-Za-z]{6}-[0-9A-Za-z]{11}-[0-9A-Za-z]{4}|0x[0-9a-fA-F]{40}"
    r"|(?:[A-Za-z]\w{0,30}-)?[v^~=<>]{0,3}[0-9]{1,5}\.[0-9]{1,5}.*|[0-9.]{1,8}(?:[a-zA-Z]{2,3}|x[0-9.]{1,8})(?:x[0-9.]{1,8}[a-z]{2})?|(?:sha|md)[0-9]{1,3}[:=-].*|arn:.*|[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[\w-]{1,60}\.[0-9]{1,4}\.[a-z0-9]{25}",
    re.S,
)
_FILE = re.compile(
    r"(?:~|\.{1,2}|/(?:etc|dev|run|var|home|usr|srv|opt|tmp|root|mnt|media|app|data|secrets))(?:/[\w.@+-]{1,80})+(?:/:[0-9])?"
    r"|(?:[\w.@+-]{1,80}/)*[\w@+-][\w.@+-]{0,80}\.(?:txt|json|ya?ml|toml|ini|conf|cfg|pem|key|crt|cer|p12|jks|pub|log|env|enc|gpg|asc|csv|tf|hcl|xml|sh|py|js)"
)
# Hashes and ids, forms of dates, names of files, sizes.
_KEPT = re.compile(
    r"[0-9a-fA-FxX.:_-]*+|(?:[A-Za-z]{1,10}[-_])?(?:[0-9a-f]{6,}+|[0-9A-F]{8,}+)|(?:[YMDHSymdhsXZTx]++[-_:./]?)+"
    r"|.*\.[a-z][a-z0-9]{0,4}|v?[0-9][0-9.]*+[a-z0-9-]{0,6}|[a-z]{2,4}[0-9a-f]{7,12}(?:-[0-9a-f]{2})?"
    r"|[A-Za-z_][\w-]{0,40}(?:\.[A-Za-z_][\w-]{0,40}){2,8}",
    re.S,
)


def triples_of(word: str) -> list[int]:
    """The number of each triple of a word; humps and signs end one."""
    codes = (_HUMP.sub("^", word).lower() + "^").encode("ascii", "replace").translate(_CODES)
    triple = TRIPLES - 1
    return [triple := (triple * 28 + code) % TRIPLES for code in codes]


def strangeness_bits(word: str) -> float:
    """By how many bits the strangest part of a word is likelier in random characters than in words."""
    worst = here = 0.0
    for triple in triples_of(word):
        here += _BITS[_LEVELS[triple >> 2] >> 2 * (triple & 3) & 3]
        if here < 0:
            here = 0.0
        elif here > worst:
            worst = here
    return worst


def is_made_up(word: str, least_bits: float) -> bool:
    """Tell whether a chunk of a word is so strange, and the word no hash, pod, date or file.

    What signs part is judged by itself: `prd-eu-w1-lgs` is short for something.
    """
    if is_kept(word):
        return False
    return any(_bits_of(chunk) >= least_bits for chunk in _CHUNK.findall(word))


def is_nonsense(text: str) -> bool:
    """Tell whether a text is some words of random letters, a passphrase."""
    words = text.split(" ")
    if not 3 <= len(words) <= 12 or not text.replace(" ", "").isalpha():
        return False
    return sum(map(strangeness_bits, words)) >= _BITS_OF_NONSENSE * len(words)


def _bits_of(chunk: str) -> float:
    usual = max((bits for shape, bits in _MORE_BITS if shape.fullmatch(chunk)), default=0)
    if not _BOTH_CASES.search(chunk) or usual:
        return strangeness_bits(chunk) - usual
    odd = odd_steps(chunk) + len(_SHORT_HUMP.findall(chunk))
    return strangeness_bits(chunk) + _BITS_OF_ODD_STEP * odd


def odd_steps(word: str) -> int:
    """How often character classes change where no name would change them."""
    odd = 0
    kinds = [CLASS_OF.get(character, "-") for character in word] + ["-"]
    for before, here, after in zip(kinds, kinds[1:], kinds[2:], strict=False):
        if here == "0" and before in "aA" and after in "aA":
            odd += 1  # w0rd
        elif before == "0" and here in "aA":
            odd += 1
        elif here == "A" and before == "a" and after != "a":
            odd += 1  # an upper case letter alone inside a word
        elif here == "0" and before == "A":
            odd += 1
    return odd


def is_kept(word: str) -> bool:
    """Tell whether the form of a word says what it is: a hash, a date, a file, or the name of something."""
    return _KEPT.fullmatch(word) is not None or is_named_thing(word)


def is_file(value: str) -> bool:
    """Tell whether a value is the path of a file: with folders or an ending, and no part of it made up."""
    return _FILE.fullmatch(value) is not None and strangeness_bits(value) < 10


def is_named_thing(word: str) -> bool:
    """Tell whether a word that looks random names something: a pod, a version, a digest, a resource."""
    return _NAMED_THING.fullmatch(word) is not None
