"""Facts of a plan, and of its partition: which values depend on the feedback, how far layers look back, costs."""

import torch

from fxemu.engine.partition import Partition
from fxemu.engine.plan import DRY, FIRST, WET, Plan, Product, Term


def small_plan() -> Plan:
    """Two values of dry alone (the second reads the first), then two inside the loop."""
    plan = Plan()
    first = plan.add(Term(DRY, torch.ones(3, 1, 5)))
    second = plan.add(Term(first, torch.ones(5, 3, 4), dilation=3))
    third = plan.add(Term(second, torch.ones(6, 5, 1)), Term(WET, torch.ones(6, 1, 7)))
    plan.add(Term(third, torch.ones(1, 6, 2)), Term(DRY, torch.ones(1, 1, 9)))
    plan.close(WET, plan.last)
    return plan


def test_numbers_and_widths() -> None:
    plan = small_plan()
    assert plan.last == FIRST + 3
    assert [plan.width(value) for value in range(FIRST + 4)] == [1, 1, 3, 5, 6, 1]


def test_what_depends_on_the_feedback() -> None:
    plan = small_plan()
    assert plan.feedforward() == {DRY, FIRST, FIRST + 1}
    assert Partition(plan).looping == [FIRST + 2, FIRST + 3]
    assert [term.source for term in Partition(plan).looping_terms(FIRST + 2)] == [WET]
    assert Partition(plan).boundary == {DRY, FIRST + 1}


def test_how_far_layers_look_back() -> None:
    # WET remembers the last value, which is thus read one sample further back.
    assert small_plan().histories() == {DRY: 8, WET: 6, FIRST: 9, FIRST + 1: 0, FIRST + 2: 1, FIRST + 3: 7}


def test_how_much_dry_a_block_needs_before_it() -> None:
    plan = small_plan()
    # The second value looks back 3 * 3 samples of the first, which looks back 4.
    assert plan.reach() == 4 + 3 * 3 and plan.feedback
    only_wet = Plan()
    only_wet.add(Term(WET, torch.ones(1, 1, 7)), Term(DRY, torch.ones(1, 1, 1)))
    assert only_wet.reach() == 0 and only_wet.feedback


def test_a_plan_without_feedback() -> None:
    plan = Plan()
    plan.add(Term(DRY, torch.ones(1, 1, 5)))
    plan.close(WET, plan.last)
    assert not plan.feedback and plan.reach() == 4


def test_what_a_step_costs() -> None:
    assert small_plan().multiply_adds() == 3 * 5 + 5 * 3 * 4 + 6 * 5 + 6 * 7 + 6 * 2 + 9


def test_a_state_makes_what_reads_it_sequential() -> None:
    plan = Plan()
    state = plan.state(3)
    given = plan.add(Term(DRY, torch.ones(3, 1, 2)))
    total = plan.mix(Product((given,)), Product((state,), torch.full((3,), 0.5)))
    plan.close(state, total)
    plan.add(Term(total, torch.ones(1, 3, 1)))
    assert plan.hidden_states() == [state]
    assert plan.feedforward() == {DRY, given}
    assert Partition(plan).looping == [total, plan.last]
    assert plan.histories()[total] == 1
    assert plan.multiply_adds() == 2 * 3 + 2 * 3 + 3


def test_a_lookup_costs_a_row_whatever_the_size_of_its_table() -> None:
    plan = Plan()
    plan.lookup(WET, torch.zeros(256, 8))
    assert plan.multiply_adds() == 8
    assert plan.width(plan.last) == 8


def test_a_term_of_few_inputs_stays_in_the_loop() -> None:
    """Storing what it gives for all samples would cost more than computing it anew."""
    plan = Plan()
    plan.add(Term(DRY, torch.ones(6, 1, 1)), Term(DRY, torch.ones(6, 1, 9)), Term(WET, torch.ones(6, 1, 1)))
    assert [term.weight.shape[-1] for term in Partition(plan).looping_terms(plan.last)] == [1, 1]
    assert [term.weight.shape[-1] for term in Partition(plan).driving_terms(plan.last)] == [9]


def test_a_layer_of_few_inputs_stays_in_the_loop_where_nothing_else_reads_it() -> None:
    def feedforward(*, windowed: bool) -> set[int]:
        plan = Plan()
        cheap = plan.add(Term(DRY, torch.ones(3, 1, 1)))
        fed_back = plan.add(Term(WET, torch.ones(3, 1, 1)))
        plan.mix(Product((cheap,)), Product((fed_back, cheap)))
        if windowed:
            plan.add(Term(cheap, torch.ones(1, 3, 9)), Term(plan.last, torch.ones(1, 3, 1)))
        return Partition(plan).early

    assert feedforward(windowed=False) == {DRY}
    assert feedforward(windowed=True) == {DRY, FIRST}


def test_a_part_costs_nothing_and_is_where_its_source_is() -> None:
    plan = Plan()
    whole = plan.add(Term(WET, torch.ones(6, 1, 1)))
    part = plan.part(whole, 2, 3)
    plan.mix(Product((part,)))
    assert plan.width(part) == 3
    assert Partition(plan).looping == [whole, plan.last]
    assert plan.multiply_adds() == 6 + 3
