"""Words that nobody wrote to be read: random characters, judged by the triples of letters in them.

`_LEVELS` says how common each triple over 26 letters, a digit and a word's end is, in two bits: 2 for the
3,000 commonest (92 %), 1 for the next 7,000, 0 for others. `tests/redaction/triples.py` counts them.
"""

from __future__ import annotations

import base64
import re
import string
import zlib

_LEVELS = zlib.decompress(base64.b85decode(
    b"c-n<nK~Lk#((SVB=*_IUBRgVd1)~AIJHMjave7WBZp&>YSpkY8$gfBcpf`7AN45o70m4?CU-_zSbLV}l&k}@$Zo8}M)H$c3Y5wbp"
    b"Wb<T8Z=B6_)m%SARZXhpUYEorPE5F-N2*{v{N{hTfgC`%Ht^hA|Fsu|0C1(lne~ko@UUFIHT7h>8{IWEWX*DUTTga`kdVUqyxNv~"
    b"krQ)S{BYLn4qmmau9MoTmb)Zv$7SKIFZMy4jID+1WCE0XNi*dLMeY1zywR6zt-zx8_(3~_GxE~RlCss_EiGqzr)1zumuMaEMGTpC"
    b"K)Q^-?edGgeh@BD7o-*&9Rmj-6pxW4#ZAGbw#>~We#%@TBP%+lR;WPe0y2*Qr@#}oN%xf)JId2Ubuj=RTjOJC$tz!6<xb87V@F&r"
    b"{=L0;cLD+s6Jj1jY{HepL>x%w5xItfdgk#`;}IlzNp+%cHLcz9u=nnnEhvXfJo+d2;yNsLAusjg^Nsh;UE#*Iq##&8cs1Fsp1i#J"
    b"9JTK(!?P30F`_%2CZ+F>PN<)6f#Pbc7_m9wWqNnG{kl=E%HnYjT?}MA@~;B8ljk57pYr5<o8I`j9&H}?pdClx0VS50lK$eHyS6Pj"
    b"$sC8ega~sB0x!#%E>n+{-ox*`S1C{E*w2~dDs~Dz_SKYa4s(p}xzJvy7AgY^xQkimrVjk=M{wI-6c!<r3R4Ca5?tcz*v=znxsv3<"
    b"0r!}w)Kl|)S}24B=4GgZKk`qAm8(!`1-af3>QRw;<>QnG3V_>0f&fX#5XPF?+?HhB2gaq1b+BI!yXw%Ur|<6Tul?vgNuv73dbxgl"
    b"OP@w%brz-CM||dg?}Nhne0Pe_@T2q7sg;8zXaJ%<m9rwiQxl4}#t-EJHr0GvzkA!=B&rvqyjeAA`}H}F!!Y);D9Y2;#2{>Htq-f_"
    b"(5?>4s;TQqvwZZ^c3I1@2yfzGGK#Jc(Bs5Ejp_X|@$&-1^tfJl8MBz?B#cAA9(y_9)gI1LzIEzROc*f4E;g$dU_KqCY>?M}=sd}c"
    b"jWD~AIXynXl#%fCtoU+!Ux2B@$A`opStoQP5MO+aiDU$m#wFPtO-06tKp05ggTu0{O9E1z3L#l8eD>nXoa*((g2d3>jZ1??Q;M!|"
    b"0datOYdnFu0vl0EUo>8^rkaMop1i^VFsJrHp^%9@goX?1S(mH!`5kYG@eytL=0goa=CDb>@W0-}wYi}wci-t?S>I`>gs<Y5tj88c"
    b"WUY0W-%fSLE*ZpQL^3yE#u%=!b5w}k@8l3N8r$3&-OZ;&QU<szW5V2Ab{hz0mvnngr;{}|F_NrVm2Im}pWW)Y)ivoG2)ICw;UV%F"
    b"ro5SKf3*)KmfxXfyQzchT9WYkteDkDe276}8=4w{<znkwj=-QXj~3!gl<Z-(KigpJj6pUW$+P@pe2^4eaF#jeA}MHo;feE@b}{0m"
    b"uyAH|_YAB9U%Mph|AkbDPlYVix~w&OK1Ob}i{-Ma+NzAI<<(wbKlo`8z816M0=qH#Y<UH2RTa%<R)J@A@wk{2TVRiQm#%9EBWuh8"
    b"C##a}>5I<KudTOuv}q8m^{&)fT<lq~O!D$wzaop-s1Nm5v22}u`FP#bez~l+*ZZ#(-f|>4;%vM?TEl8k#I`d6#rePmrhW|IC&He`"
    b"<h{WdP#;pEFODt>fPwTn(n07E3c)2sjw1K?Cy77G$f1V~b^+?&df+|`htU67g4r`~Ol`%#6ti7RkZ)$m0B?!^G{}|?T*kbxd(Dv~"
    b"{OxwYWL>$2<$Pe+t{3`q_SL5f^T-^c7dk9xp=_b>)<T3#0>RjiG1M~I%$~#+&q0l@IKqpeFd+ok9i#i_(p`Vt+cJF3k$$m{g=IE?"
    b"iQyQtqTO&8pPIHe`-T<`O`1S>*wO-vjG@?;_(Xz-7#RgjKbT}u`y&88U~q`RbP2_N(8(^<?2s<!`}qzxpv+0Q4_R!jlTjq&5L-si"
    b"_q!Tpmm)9W?qmByr^VsN&7r<{?lZy_^CjLh8T;wt(^e$lDMPp>FmX85ZM&@0xzZl_&<BhSqm2{%P>DS9$CpQtS7(!C&$Y5(;(`ep"
    b"Wq?a6aJh8dFqHI3dV(2gpj>e~>+}J!blUuGpP$wEE<IwoV|WR;_EhYOmnwOf@2}o5EzF2CHvCTvr2`tTzZJ9n<_QnPOiy2k7>PwY"
    b"eyn*OS^lLQ<-i2?w0u{3wx6Q{-KG1aHc-W8MxsWs<T_QTsV4K6cDRx7Fnd?#oslpQ9~i<^NCs+sX@6i>Q_d-SY03n7$vZ5{-QIgb"
    b")}Ru2^!SJxS0$6})eXy=<-={;l+3z2F(wKRk)FR>2Iat;xjxjt|0A#}h&nbBdO<hfAnTJvC7?@K!x+9JI%}=w?XnzGH3|H|FA+8d"
    b"B^kf|d)w4Wp6sghX7ZX$bW%LrGvwVk$OkN8>mXR~J(O=Q*Oq|+vOA%Me)~F{W<-WlhmS@Vrwc2OlIyE?zevub)E$?c%J3%S;*;-X"
    b"u-0dHQw&U?Z^fV7;TJLLkp*at_{5LAc!IoCrHjwo`Q)yVPT8!g)%)x%{{H&=$;;-;q}{Wsrw-mM8%$lZjH0VLER$-RzN@@o;`iQN"
    b"TO*4GL?O;*mtO9H5G3Ae6fk5{G$1jW8|eBwJIpbL#H)|r{ywOZIV>U~Ncg#mMK=0`kP_>+vvSsI^t8AUeJi@0BRfNOd-d$Qx1@M}"
    b"dMLVnz`C9on`YGaIJWMLe3s~%Pas0uRC-n0o)*z)yPOW*8^zS}uas4)O5pwTN#b8F&hw+mMkCKl>?2fkL6KlO=EG{Nk)q2I$AR7@"
    b"gv1dsM{Z48)Cbe+^bdUz;|7qy0WAmVsf_=R7Tf<UGoQNMZ~AAiwz2*^!#!Zkz{kSwv3wwwff=EbFWOfHONsB~2vflSoCV1Lb4ex9"
    b"sQ@|LHoNw(zbz~J9y4V<nx4kIBxtaT!>ZaHR^<e?#|y|NkyyB+4yO3n!;ctw>B&$X9-vHowh;H{Bma`pJc<0&o#g)5zmkx(e;H#|"
    b"UI}$Jg-sWR#m8goJ7?;;N*1|OqT@^#=hdxO?OsG_bj(;P@P{lJ5APc5PG1}glLTm#P59a2urpX{Z>srz)`=nql{`jQ(^2L*SFz2q"
    b"=B(TuLgZFBi5(;z5H@6{SK@Kj{@ASQ*;B8Lz>tjJAxB4jDy{shGrB}KGiJCCRC<xmZ;~u|+@@2tA;>MR#V;M~X-Aq5^)-@5a(g>@"
    b"n|qJD8@g7fD!}cLu#n5KL<S3M&!)eQnaR4*6^3Qz#<yY&^V2rPIv|T+V93epUcST(V-PquWv20Ns~W(+ip{7e_!R7D<fqf<^{^@q"
    b"hoAR@KJ>O;`Zzy)CtJZbnPSqix{B4y<zb(^Cg_E|DDSX>!`){eJzu3!AIdO`&hK81;BGfbp7&zI95^v`7{iGT9n{w(mQJ>bWhO1e"
    b"9OH(3gShwJt5bPgeww;#Jt_6V$-T#vts(Fy)&fJ(-otD^%A7ADjalI=(T>7;5at?QX8WJ_y`NYccVMV_w2hI$=9BXsHS_e_ZEf06"
    b"*oDK(Z|Ij~K0tYyY@csJG)hrikCB)B*Mgz(v>+g8TOAss9mKlR-hy+Q_0lSPoxbROV5YS~`fzo;x!6O2t6ihFT1wYhcW#^TS6$9-"
    b"bm^c==(L!4=mdB_F*Fmo+B^3{hf-sa20Muggaj_#Om@%Zm)2{F$3<B_vbh>!zyqSjp#~%WU|PEeaAF0N4kTdn|I@y_o8HWt-ghvL"
    b"3$kv0aA*=&7khh4hAGDUmvPs`&hKaAFqqm%P{_wHcyHuS-%JYm<mTs|1RoS4y5pjyly3im&jYqWoz8?U<0HH)5hgD^jbX!%(PVQk"
    b"Qs}V@ybtT9WLpG77Z0>_{GrSqbwig1yyrpMi+8PcRcjBcW5t*W%(Jm#VtpJqYloSMh+iTRPlFBXzG#p`kQko%YCvO?*R~vZ*Cm7P"
    b"H3^kq=hBRDz1JrWvC;PWR(|p?_{gs4PRSMOm$W&Xgz}4-El6Ozm~E;`dGDgR$<ta9*KEC)9*2IKz?YXLiUxW<1Wyt}h_3v^7`k;R"
    b"0}?pB%qz_5G{Duq`Le_@bTCXLor65;k7F>{Sw?)ZBDCcEi?dNKh%+M==<_KLY>O-3mrqESojFH(?D}1YN<Vn_@W`0$gdqV(+Q<(E"
    b"^k#|M>5&))Auyp^UBP<`pB-kMU#g`JpWOSwmg8?Ms@=t4z6VQwPQwB>(Lo07e~dhv1bc4(gC){`kMhrmK@rfbdw~%6G*%q=A2ozN"
    b"#n`}zpEYKupP;E5JJUb->@-yjo22KWZ$-a^UWq8T2Uv{nTp%72BTkr}(~)E75{9tx7<d>a*xZ;d>_3j$Z+D~l00xr?r<Yw5Umx4>"
    b"m5_A0$u^@smDqg;;ArUu{KNC{ehi@CU~k~)49x9Li=BFmXLknQ+SQ$7IWLE{fX)G~XIh1e^VdWDysPzTr_-x;IoYP|<WTLZrcJ8d"
    b"e0R7>n&!)HcX+Os^Qyj0bc54sJD+V)Q;Q_2SLj>a_XPh+6ImtaxA8<(=T)8VW=*ne(j;20lIDG0wzuevQB9hrZC8;Rhmju3CW+9n"
    b";yrO-T{SoeFWV-0*4w}LNxWP}%XpL~RaD<zC1`t-g>DneOBLis(Z6e<H4S6c9=hwte*u0Ejn)"
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
# A capital and small letters; capitals and digits (serial numbers); ipv4first, enp3s0f1; vowels everywhere.
_MORE_BITS = (
    (re.compile(r"[A-Z][a-z]++"), 20),
    (re.compile(r"[A-Z0-9]{6,11}"), 60),
    (re.compile(r"[a-z]{2,6}[0-9]{1,2}[a-z]{1,6}[0-9]{0,2}"), 5),
    (re.compile(r"(?:en|wl|ww|ib)[opsx][0-9][a-z0-9]{1,10}"), 8),
    (re.compile(r"(?=[a-z]{8,})(?:[^aeiouy]{0,4}[aeiouy]{1,2})++[^aeiouy]{0,4}+"), 2),
)
# Of eight letters, or of six where digits or cases are mixed; plain hex says nothing.
_CHUNK = re.compile(
    r"(?<![A-Za-z0-9])(?![A-Z]?[a-z]{0,7}(?![A-Za-z0-9])|[0-9a-f]*+(?![A-Za-z0-9]))[A-Za-z0-9!#$^~*?%]{6,64}+"
)
_SHORT_HUMP = re.compile(
    r"(?<![a-z])[A-Z][a-z]?(?![A-Za-z])|(?<![A-Za-z])[a-z]{1,2}(?=[A-Z])|[A-Z][a-z](?=[A-Z])"
)
_SWITCH = re.compile(r"[A-Za-z](?=[0-9])|[0-9](?=[A-Za-z])")
_USUAL_SWITCHES = 3
_BOTH_CASES = re.compile(r"[a-z].*[A-Z]|[A-Z][^a-z]*[A-Z0-9][^a-z]*[a-z]", re.S)
CLASS_OF = {
    **dict.fromkeys(string.ascii_lowercase, "a"), **dict.fromkeys(string.ascii_uppercase, "A"),
    **dict.fromkeys(string.digits, "0"), **dict.fromkeys("!$^*~?#", "!"),
}  # fmt: skip
# Kubernetes' own suffixes, disks, volumes, ULIDs, messages of a mailer, accounts of a chain, versions,
# digests, and names of resources.
_NAMED_THING = re.compile(
    r"(?:[a-z0-9]++-)+(?:[bcdf-hj-np-tv-xz2456789]{5}|[bcdf-hj-np-tv-xz2456789]{8,10})"
    r"|(?:ata|nvme|scsi|usb|wwn|virtio|google|dm-name|dm-uuid|lvm-pv-uuid|md-uuid|mpath)-[\w.:+-]{1,120}"
    r"|[a-z]{3,10}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9A-Za-z]{6}(?:-[0-9A-Za-z]{4}){5}-[0-9A-Za-z]{6}"
    r"|01[0-9A-HJKMNP-TV-Z]{24}|baf[ky][a-z2-7]{55}|[0-9A-Za-z]{6}-[0-9A-Za-z]{11}-[0-9A-Za-z]{4}|0x[0-9a-fA-F]{40}"
    r"|[v^~=<>]{0,3}[0-9]{1,5}\.[0-9]{1,5}.*|(?:sha|md)[0-9]{1,3}[:=-].*|arn:.*|[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[\w-]{1,60}\.[0-9]{1,4}\.[a-z0-9]{25}",
    re.S,
)
_FILE = re.compile(
    r"(?:~|\.{1,2}|/(?:etc|run|var|home|usr|srv|opt|tmp|root|mnt|media|app|data|secrets))(?:/[\w.@+-]{1,80})+(?:/:[0-9])?"
    r"|(?:[\w.@+-]{1,80}/)*[\w@+-][\w.@+-]{0,80}\.(?:txt|json|ya?ml|toml|ini|conf|cfg|pem|key|crt|cer|p12|jks|pub|log|env|enc|gpg|asc|csv|tf|hcl|xml|sh|py|js)"
)
# Hashes and ids, forms of dates, names of files, sizes.
_KEPT = re.compile(
    r"[0-9a-fA-FxX.:_-]*+|(?:[A-Za-z]{1,10}[-_])?[0-9a-f]{6,}+|(?:[YMDHSymdhsXZTx]++[-_:./]?)++"
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
        switches = len(_SWITCH.findall(chunk)) - _USUAL_SWITCHES if len(chunk) >= 10 else 0
        return strangeness_bits(chunk) - usual + max(0, switches) * _BITS_OF_ODD_STEP
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
