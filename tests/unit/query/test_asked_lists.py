"""The subject of a question for a list, by the kinds of its words; tests/integration has many more questions."""

from __future__ import annotations

import pytest

from docwell.query.asked_lists import asked_list


def subject(question: str) -> str | None:
    """Return the phrases of the subject, parted by a bar."""
    found = asked_list(question)
    return " | ".join(question[start:end] for start, end in found) if found else None


@pytest.mark.parametrize(
    ("question", "phrases"),
    [
        ("Which of the annual reports mention Ada Holt?", "Ada Holt"),
        ("In welchen Jahresberichten wird Ada Holt genannt?", "Ada Holt"),
        ("Quels rapports annuels mentionnent Ada Holt ?", "Ada Holt"),
        ("¿En cuántos informes aparece Ada Holt?", "Ada Holt"),
        ("列出所有谈到石棉的信件。", "石棉"),
        ("Where is the north wing mentioned?", "north wing"),
        ("Kommt Ada Holt irgendwo vor?", "Ada Holt"),
        ("How often does the word tariff occur?", "tariff"),
        ("Which shipping companies mention ice?", "ice"),
        ("Is there anything on earthquakes?", "earthquakes"),
        ("contracts with Acme", "Acme"),
        ("Which papers use Monte Carlo sampling?", "Monte Carlo sampling"),
        ("Which studies report BLEU?", "BLEU"),
        ("Welche Aufsätze verwenden BM25?", "BM25"),
        ("In welchen Briefen steht etwas über Kupfer?", "Kupfer"),
        ("Tell me all the letters that mention Ada Holt", "Ada Holt"),
        ("¿Qué trabajos usan BM25?", "BM25"),
        ("Muéstrame los trabajos que usan BM25", "BM25"),
        ("Show me papers that use BM25", "BM25"),
        ("Trouve les études qui utilisent BM25", "BM25"),
        ("Which documents mention contracts with Acme?", "contracts | Acme"),
        ("Which files talk about contracts?", "contracts"),
        ("Name all letters that name Paul Keller", "Paul Keller"),
        ("Which papers come from the University of Oslo?", "University | Oslo"),
        ("Which documents mention the price list?", "price list"),
        ("Which documents mention list prices?", "list prices"),
        ("Which documents mention the name change?", "name change"),
        ("Which documents mention a document retention policy?", "document retention policy"),
        ("Which letters mention Acme's annual report?", "Acme's annual report"),
        ("Where is the mailing list mentioned?", "mailing list"),
        ("Is there anything about the mailing list?", "mailing list"),
        ("Which pages mention Word documents?", "Word documents"),
        ("Which reports mention Anything Goes?", "Anything Goes"),
        ("Quels documents mentionnent la liste noire ?", "liste noire"),
        ("¿Qué documentos mencionan la lista negra?", "lista negra"),
        ("Which reports mention asbestos anywhere?", "asbestos"),
        ("Which documents mention asbestos, and name the pages", "asbestos"),
        ("WHICH REPORTS MENTION THE WORD TARIFF?", "TARIFF"),
        ("In welchen Briefen steht das Wort Treuhand?", "Treuhand"),
    ],
)
def test_words_that_ask_for_documents_leave_the_subject(question: str, phrases: str) -> None:
    assert subject(question) == phrases


@pytest.mark.parametrize(
    "question",
    [
        "Which documents does the customs office ask for?",  # the object of the verb
        "Welche Unterlagen verlangt Acme?",
        "Quels documents demandent les autorités ?",
        "¿Qué documentos pide la aduana?",
        "What does section 4 say about fire?",
        "Who is mentioned in the will?",
        "Does the contract mention a deposit?",
        "Which risks are mentioned in the report for 2019?",
        "List the steps that the manual describes.",
        "Which competitors does Acme name?",
        "Where do earthquakes occur?",
        "Which pages mention 2019?",  # too common in other roles
        "Zu welchem Schluss kommt der Verfasser?",
        "Which reports mention Acme and which mention Bolt?",
        "What is this document about?",
        "Which documents prove residency?",  # of the world, as for the next four
        "Which materials resist heat?",
        "List the documents required for the permit.",
        "Name the contracts that Smith signed.",
        "Quels documents prouvent mon identité ?",
        "Wie viele Seiten enthält der Bericht?",
        "Combien de pages contient le rapport ?",
        "¿Cuántos capítulos incluye el libro?",
        "报告里提到了哪些国家?",
        "合同包含哪些条款?",
        "What does the contract mention about parking?",
        "What is mentioned about parking in the lease?",
        "Tell me about the contract with Acme.",
        "Tell me something about the Nile.",
        "Dime algo sobre el Nilo.",
        "Is there something wrong with the pump?",
        "What have we learned about sleep?",
        "How much does the book on BM25 cost?",
        "How do I find the section on refunds?",
        "How can I list files with spaces?",
        "Do que trata este documento?",  # no words of this language are known
        "quarterly revenue",
        "",
    ],
)
def test_other_questions_with_such_words_are_left_to_their_meaning(question: str) -> None:
    assert subject(question) is None
