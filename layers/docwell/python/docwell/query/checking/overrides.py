"""How languages set earlier instructions aside: stems of the verb, of "earlier" and of the instructions."""

from __future__ import annotations

_EARLIER = "previous|prior|above|earlier|preceding|former|initial|original|you were given|given to you|so far"
# Of a way to a place, these are no instructions.
DIRECTIONS = r"directions(?!\s(?:to|from|for)\s)"

# The stems of one language follow one another in any order within a sentence. Courts set orders, directions and
# rules aside, and letters ask to disregard earlier orders.
OVERRIDES = (
    (
        "ignor|disregard|forget|overrid|bypass|no attention|not follow|no longer follow|stop following",
        _EARLIER,
        f"instruction|prompt|directive|guideline|guidance|rules|{DIRECTIONS}",
    ),
    ("aside|discard", _EARLIER, "instruction|prompt|directive|guideline|guidance"),
    ("not follow|no longer follow|stop following", _EARLIER, "orders"),
    (
        "ignorier|vergiss|vergessen|missacht|nicht beacht|nicht befolg",
        "vorherig|obig|bisherig|früher|zuvor|oben",
        "anweisung|vorgabe|instruktion|regel",
    ),
    (
        "ignor|oubli|pas compte|néglige",
        "précédent|ci-dessus|antérieur|plus haut",
        "consigne|instruction|règle|directive",
    ),
    (
        "ignor|olvid|no siga|caso omiso|por alto",
        "anterior|previ|arriba",
        "instruccion|instrucción|regla|indicacion|directri",
    ),
    (
        "ignor|dimentica|trascur",
        "precedent|sopra|di prima",
        "istruzion|regol|direttiv|indicazion",
    ),
    (
        "ignor|esqueç|esquec|desconsider",
        "anterior|acima|prévi",
        "instruç|regra|diretriz|orientaç",
    ),
    (
        "negeer|vergeet",
        "eerder|vorig|voorgaand|bovenstaand",
        "instructie|regel|aanwijzing|richtlijn",
    ),
    (
        "ignorer|glöm|glem",
        "tidigare|tidligere|ovanstående|ovenstående|föregående|forrige",
        "instruktion|instruks|regler|anvisning",
    ),
    (
        "ignoruj|zapomnij|pomiń",
        "poprzedni|powyższ|wcześniejsz",
        "polece|instrukcj|zasad|wytyczn",
    ),
    (
        "ignoruj|zapomeň",
        "předchoz|výše|dřívějš",
        "pokyn|instrukc|pravid",
    ),
    (
        "yok say|unut|görmezden",
        "önceki|yukar",
        "talimat|kural|yönerge",
    ),
    (
        "abaikan|lupakan",
        "sebelumnya|di atas",
        "instruksi|perintah|aturan",
    ),
    (
        "bỏ qua|quên",
        "trước|ở trên",
        "hướng dẫn|chỉ thị|quy tắc",
    ),
    (
        "игнорир|забуд|не следуй|не обращай",
        "предыдущ|выше|прежн|попередн",
        "инструкц|інструкц|указан|правил",
    ),
    (
        "忽略|无视|忘记|無視|不要理会|不要遵|不理",
        "之前|以上|先前|上述|前面",
        "指令|指示|提示|规则",
    ),
    (
        "無視|忘れ|従わない",
        "以前|前の|上記|これまで",
        "指示|命令|ルール|プロンプト",
    ),
    (
        "무시|잊어",
        "이전|위의|앞의",
        "지시|명령|규칙",
    ),
    (
        "تجاهل|انس",
        "السابق|أعلاه",
        "تعليمات|قواعد",
    ),
    (
        "अनदेखा|भूल|नज़रअंदाज़",
        "पिछले|पूर्व|ऊपर",
        "निर्देश|नियम",
    ),
)
_BETWEEN = r"[^.!?\n\u3002]{0,40}?"


def pattern(verbs: str, earlier: str, instructions: str) -> str:
    """Return an expression that finds the three in any order."""
    one, two, three = f"(?:{verbs})", f"(?:{earlier})", f"(?:{instructions})"
    orders = (one, two, three), (one, three, two), (two, three, one), (three, two, one), (two, one, three)
    return "|".join(_BETWEEN.join(order) for order in orders)
